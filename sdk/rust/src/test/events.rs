//! The log of events of a test.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::Error;
use crate::events::Event;

const ID: &str = "go.micro.events";
/// Most events of a page, and its most bytes.
const PAGE_MAX: (usize, usize) = (1_000, 4 << 20);

/// Topics by name.
#[derive(Default)]
pub(crate) struct Log(HashMap<String, Vec<Event>>);

impl Log {
    /// By the platform's rules.
    pub(crate) fn append(
        &mut self,
        topic: String,
        metadata: Vec<(String, String)>,
        payload: Vec<u8>,
    ) -> Result<String, Error> {
        check(&topic)?;
        let is_platforms = |key: &str| key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("micro-"));
        let metadata: std::collections::BTreeMap<_, _> =
            metadata.into_iter().filter(|(key, _)| !is_platforms(key)).collect();
        let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        if topic.ends_with(".dead") {
            return Err(Error::forbidden(ID, "topics that end in `.dead` are the platform's"));
        }
        if payload.len() > 1 << 20 || metadata.len() > 64 || bytes > 16 << 10 {
            return Err(Error::bad_request(
                ID,
                "an event has at most 1 MiB, and 64 entries of metadata in 16 KiB",
            ));
        }
        let events = self.0.entry(topic).or_default();
        let position = events.len() as u64 + 1;
        let newest = events.last().map_or(SystemTime::UNIX_EPOCH, |event| event.timestamp);
        let timestamp = newest + Duration::from_millis(1);
        let id = format!("00000000-0000-4000-8000-{position:012}");
        events.push(Event { id: id.clone(), position, timestamp, metadata, payload });
        Ok(id)
    }

    /// One page.
    pub(crate) fn read(&self, topic: &str, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        check(topic)?;
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=PAGE_MAX.0).contains(limit));
        let limit = limit.ok_or_else(|| Error::bad_request(ID, "`limit` is 1 to 1000 events"))?;
        let mut left = Some(PAGE_MAX.1);
        let fits = |event: &&Event| {
            let first = left == Some(PAGE_MAX.1);
            left = left.and_then(|left| left.checked_sub(event.payload.len()));
            first || left.is_some()
        };
        let later = self.all(topic).iter().filter(|event| event.position > after);
        Ok(later.take(limit).take_while(fits).cloned().collect())
    }

    pub(crate) fn all(&self, topic: &str) -> &[Event] {
        self.0.get(topic).map_or(&[], Vec::as_slice)
    }
}

fn check(topic: &str) -> Result<(), Error> {
    if topic.is_empty() {
        return Err(Error::bad_request(ID, "Missing topic"));
    }
    super::broker::check(topic, &[]).map_err(|error| Error { id: ID.to_owned(), ..error })
}
