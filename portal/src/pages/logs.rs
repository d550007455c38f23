//! A service's log: the last lines in the page, then line by line.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{BoxStream, Stream, StreamExt, TryStreamExt};
use micro_api::logs::LogRecord;
use micro_client::LogQuery;
use serde_json::{Value, json};

use super::Answer;
use super::service::Head;
use crate::error::Fault;
use crate::format;
use crate::session::Person;
use crate::streams::Ticket;

/// Lines that the page starts with.
const LINES: u64 = 200;
/// Lines of the past that a browser can have missed between two connections.
const LINES_BETWEEN: u64 = 5_000;
/// How long a browser waits before it connects again, milliseconds.
const RETRY_MS: u64 = 2_000;

pub(crate) async fn show(person: Person) -> Answer {
    let head = Head::read(&person).await?;
    let version = person.query("version").to_owned();
    let query = LogQuery {
        version: (!version.is_empty()).then(|| version.clone()),
        lines: Some(LINES),
        ..LogQuery::default()
    };
    let records: Vec<LogRecord> = person.client.logs(&head.name, &query).await?.try_collect().await?;
    let wanted = person.query("q").to_lowercase();
    let since = Cursor::after(&records, 0);
    let lines: Vec<Value> = records
        .iter()
        .filter(|record| wanted.is_empty() || record.message.to_lowercase().contains(&wanted))
        .map(line)
        .collect();
    let content = json!({
        "service": head.context(&person, "logs"), "lines": lines, "since": since.to_string(),
        "q": person.query("q"), "asked_version": version,
    });
    person.page("services", "logs.html", content)
}

/// The lines after `since`, as they come.
pub(crate) async fn live(person: Person) -> Result<Response, Fault> {
    let ticket = ticket(&person)?;
    let version = person.query("version").to_owned();
    let cursor = Cursor::asked(&person).unwrap_or_default();
    let query = LogQuery {
        version: (!version.is_empty()).then_some(version),
        lines: Some(LINES_BETWEEN),
        since_ms: Some(cursor.at_ms),
        follow: true,
        build: false,
    };
    let records = person.client.logs(&person.service()?, &query).await?;
    Ok(events(line_events(records, cursor), ticket))
}

/// How far a browser has read: the time of its last line, and how many lines of that time it has, for several may
/// share a millisecond. Written `<at_ms>.<seen>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) at_ms: i64,
    seen: usize,
}

impl Cursor {
    /// After the last of `records`; with none, from `start` on.
    pub(crate) fn after(records: &[LogRecord], start: i64) -> Self {
        records.iter().fold(Self { at_ms: start, seen: 0 }, |cursor, record| cursor.next(record))
    }

    /// What the browser says: after the last line that came live, else after the last one of the page.
    pub(crate) fn asked(person: &Person) -> Option<Self> {
        let last = person.visit.header(axum::http::HeaderName::from_static("last-event-id"));
        Self::parse(last).or_else(|| Self::parse(person.query("since")))
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, seen) = text.split_once('.')?;
        Some(Self { at_ms: at.parse().ok()?, seen: seen.parse().ok()? })
    }

    fn next(self, record: &LogRecord) -> Self {
        let seen = if record.timestamp == self.at_ms { self.seen + 1 } else { 1 };
        Self { at_ms: record.timestamp, seen }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at_ms, self.seen)
    }
}

pub(crate) fn ticket(person: &Person) -> Result<Ticket, Fault> {
    person.visit.portal.streams.open(&person.session).ok_or_else(|| {
        let most = crate::config::STREAMS_PER_SESSION_MAX;
        Fault::told(429, format!("At most {most} live pages at a time: close some tabs."))
    })
}

/// An event for each line behind `cursor`. A stream that breaks ends, and the browser connects again.
pub(crate) fn line_events(
    records: impl Stream<Item = micro_client::Result<LogRecord>> + Send + 'static,
    cursor: Cursor,
) -> BoxStream<'static, Event> {
    let start = (Cursor { at_ms: cursor.at_ms, seen: 0 }, cursor);
    records
        .scan(start, |(at, has), record| {
            let Ok(record) = record else { return futures::future::ready(None) };
            *at = at.next(&record);
            let known = at.at_ms == has.at_ms && at.seen <= has.seen;
            let event = (!known)
                .then(|| Event::default().event("line").id(at.to_string()).data(line(&record).to_string()));
            futures::future::ready(Some(event))
        })
        .filter_map(futures::future::ready)
        .boxed()
}

/// The answer that holds `ticket` until its end.
pub(crate) fn events(stream: BoxStream<'static, Event>, ticket: Ticket) -> Response {
    let first = Event::default().retry(std::time::Duration::from_millis(RETRY_MS)).event("open").data("{}");
    let stream = futures::stream::once(futures::future::ready(first)).chain(stream).map(move |event| {
        let _held = &ticket;
        Ok::<_, Infallible>(event)
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// A line as the template and the script show it.
pub(crate) fn line(record: &LogRecord) -> Value {
    let of = |key: &str| record.metadata.get(key).map_or("", String::as_str);
    json!({
        "clock": format::clock(record.timestamp),
        "stamp": format::stamp(record.timestamp),
        "exact": format::exact(record.timestamp),
        "level": of("level"),
        "stream": of("stream"),
        "stage": of("stage"),
        "version": of("version"),
        "message": record.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(timestamp: i64, message: &str) -> LogRecord {
        LogRecord { timestamp, metadata: Default::default(), message: message.to_owned() }
    }

    #[tokio::test]
    async fn lines_of_one_millisecond_come_once_each() {
        let all = [record(5, "a"), record(6, "b"), record(6, "c"), record(6, "d"), record(7, "e")];
        let has = Cursor::after(&all[..3], 0);
        assert_eq!(Cursor::parse(&has.to_string()), Some(has));
        let from: Vec<_> = all.iter().filter(|line| line.timestamp >= has.at_ms).cloned().map(Ok).collect();
        let events: Vec<Event> = line_events(futures::stream::iter(from), has).collect().await;
        let response = events_body(events).await;
        assert!(!response.contains("\"b\"") && !response.contains("\"c\""), "{response}");
        assert!(response.contains("\"d\"") && response.contains("\"e\""), "{response}");
        assert!(response.contains("id: 6.3") && response.contains("id: 7.1"), "{response}");
    }

    async fn events_body(events: Vec<Event>) -> String {
        let stream = futures::stream::iter(events.into_iter().map(Ok::<_, Infallible>));
        let body = Sse::new(stream).into_response().into_body();
        String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap()
    }
}
