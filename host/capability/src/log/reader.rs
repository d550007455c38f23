//! Reading a service's log back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use micro_api::logs::LogRecord;
use micro_api::name::ServiceKey;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::writer::{Handle, Source};
use super::{Stream, Tail, now_ms};

pub(crate) fn tail(writer: Handle, tail: Tail) -> BoxStream<'static, LogRecord> {
    let start = async move {
        let key = ServiceKey { namespace: tail.namespace.clone(), name: tail.service.clone() };
        let source = writer.open(key, tail.follow).await.unwrap_or(Source { files: Vec::new(), live: None });
        // Held for as long as somebody follows, or the writer's thread would end under them.
        let live = source.live.map(|live| (writer, live));
        let filter = Filter { version: tail.version, since_ms: tail.since_ms };
        let (files, lines, past) = (source.files, tail.lines, filter.clone());
        let past = tokio::task::spawn_blocking(move || last_lines(files, lines, &past)).await;
        stream::iter(past.unwrap_or_default()).chain(live_lines(live, filter))
    };
    stream::once(start).flatten().boxed()
}

#[derive(Debug, Clone)]
struct Filter {
    version: Option<String>,
    since_ms: Option<i64>,
}

impl Filter {
    fn matches(&self, record: &LogRecord) -> bool {
        // What the platform says of the service as a whole has no version.
        let version = record.metadata.get("version");
        self.since_ms.is_none_or(|since| record.timestamp >= since)
            && self.version.as_ref().is_none_or(|wanted| version.is_none_or(|version| version == wanted))
    }
}

/// Reads from the newest file back until there are enough lines. Files are bounded, so each is read whole.
fn last_lines(files: Vec<(File, u64)>, lines_max: usize, filter: &Filter) -> Vec<LogRecord> {
    let mut found = Vec::new();
    for (file, bytes) in files {
        if found.len() >= lines_max {
            break;
        }
        match read(file, bytes) {
            Ok(text) => {
                // What does not parse was cut by a crash.
                let records = text.split(|byte| *byte == b'\n').rev();
                let records = records.filter_map(|line| serde_json::from_slice::<LogRecord>(line).ok());
                let room = lines_max - found.len();
                found.extend(records.filter(|record| filter.matches(record)).take(room));
            }
            Err(error) => tracing::warn!(%error, "cannot read a service's log"),
        }
    }
    found.reverse();
    found
}

fn read(file: File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(text)
}

type Live = Option<(Handle, broadcast::Receiver<std::sync::Arc<LogRecord>>)>;

fn live_lines(live: Live, filter: Filter) -> impl futures::Stream<Item = LogRecord> + Send {
    stream::unfold((live, filter), |(live, filter)| async move {
        let (handle, mut receiver) = live?;
        loop {
            let record = match receiver.recv().await {
                Ok(record) if !filter.matches(&record) => continue,
                Ok(record) => LogRecord::clone(&record),
                Err(RecvError::Lagged(lines)) => lagged(lines),
                Err(RecvError::Closed) => return None,
            };
            return Some((record, (Some((handle, receiver)), filter)));
        }
    })
}

fn lagged(lines: u64) -> LogRecord {
    let metadata = BTreeMap::from([
        ("stream".to_owned(), Stream::Platform.as_str().to_owned()),
        ("level".to_owned(), "warn".to_owned()),
    ]);
    let message = format!("{lines} lines are not shown here: they came faster than they were read");
    LogRecord { timestamp: now_ms(), metadata, message }
}
