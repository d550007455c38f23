//! The `events` import.

use std::collections::BTreeMap;

use bytes::Bytes;
use micro_api::Error;
use micro_api::events::Offset;
use micro_api::name::Namespace;
use uuid::Uuid;
use wasmtime::component::Accessor;

use super::{Appended, Backend, Event, From, New, READ_EVENTS_MAX, TopicKey};
use crate::bindings::platform::micro::platform::{events as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{events as wit_sync, types as types_sync};
use crate::broker::Topics;
use crate::ctx::{optional, pairs, waits};
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.events";

impl std::convert::From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        use super::Error as Events;
        match error {
            Events::Topic
            | Events::Group
            | Events::Payload
            | Events::Metadata
            | Events::Batch
            | Events::AckWait => Self::bad_request(ID, error.to_string()),
            Events::Reserved => Self::forbidden(ID, error.to_string()),
            Events::Topics | Events::Groups => Self::new(ID, 429, error.to_string()),
            Events::Full => {
                tracing::warn!(%error, "events call failed");
                Self::new(ID, 507, error.to_string())
            }
            Events::Busy => Self::new(ID, 503, error.to_string()),
            Events::Backend(_) => {
                tracing::warn!(%error, "events call failed");
                Self::new(ID, 503, "the events do not answer: try again")
            }
        }
    }
}

impl std::convert::From<Offset> for From {
    fn from(offset: Offset) -> Self {
        match offset {
            Offset::Start => Self::Start,
            Offset::End => Self::End,
            Offset::After(position) => Self::After(position),
            Offset::Since(time_ms) => Self::Since(time_ms),
        }
    }
}

/// The key of a topic that somebody named.
pub(super) fn topic(namespace: &Namespace, topic: &str) -> Result<TopicKey, Error> {
    if topic.is_empty() {
        return Err(Error::bad_request(ID, "Missing topic"));
    }
    Ok(TopicKey::named(namespace, topic)?)
}

/// Appends one event with an id of its own: whoever publishes. Keys that are the platform's are left out.
pub(super) async fn publish(
    backend: &dyn Backend,
    topic: &TopicKey,
    metadata: impl IntoIterator<Item = (String, String)>,
    payload: Bytes,
) -> Result<Appended, Error> {
    let is_platforms = |key: &str| key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("micro-"));
    let metadata: BTreeMap<_, _> = metadata.into_iter().filter(|(key, _)| !is_platforms(key)).collect();
    let event = New { id: Uuid::new_v4(), metadata, payload };
    let appended = backend.append(topic, vec![event]).await?;
    appended.into_iter().next().ok_or_else(|| Error::internal(ID, "the event was not appended"))
}

impl Handle {
    fn may(&self, topics: &Topics, topic: &str, key: &str) -> Result<(), Error> {
        if topics.allow(topic) {
            return Ok(());
        }
        let text = format!(
            "{} may not {key} events of {topic}: add `events = {{ {key} = [\"{topic}\"] }}` to [grants] in its \
             micro.toml",
            self.guest.scope.service
        );
        Err(Error::forbidden(ID, text))
    }

    pub(crate) async fn events_publish(
        &self,
        name: String,
        metadata: Vec<(String, String)>,
        payload: Vec<u8>,
    ) -> Result<String, Error> {
        let key = topic(&self.guest.scope.namespace, &name)?;
        self.may(&self.guest.rules.events.publish, &name, "publish")?;
        let backend = &*self.guest.capabilities.events;
        let appended = self.bounded(ID, publish(backend, &key, metadata, payload.into())).await?;
        Ok(appended.id.to_string())
    }

    pub(crate) async fn events_read(
        &self,
        name: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let key = topic(&self.guest.scope.namespace, &name)?;
        self.may(&self.guest.rules.events.consume, &name, "consume")?;
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=READ_EVENTS_MAX).contains(limit));
        let limit = limit
            .ok_or_else(|| Error::bad_request(ID, format!("`limit` is 1 to {READ_EVENTS_MAX} events")))?;
        let from = after.map_or(Ok(Offset::Start), |text| text.parse::<Offset>());
        let from = from.map_err(|error| Error::bad_request(ID, error.to_string()))?;
        let backend = &self.guest.capabilities.events;
        let page = self.bounded(ID, async { Ok(backend.read(&key, from.into(), limit).await?) }).await?;
        Ok(page.events)
    }
}

macro_rules! event_conversion {
    ($wit:path) => {
        impl std::convert::From<Event> for $wit {
            fn from(event: Event) -> Self {
                Self {
                    id: event.id.to_string(),
                    position: event.position,
                    timestamp_ms: event.timestamp_ms,
                    metadata: event.metadata.into_iter().collect(),
                    payload: event.payload.into(),
                }
            }
        }
    };
}
event_conversion!(wit::Event);
event_conversion!(wit_sync::Event);

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn publish(
        store: &Accessor<T, Self>,
        topic: String,
        metadata: Vec<(String, String)>,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let bytes = topic.len() + pairs(&metadata) + payload.len();
        waits(store, ID, bytes, |handle| async move { handle.events_publish(topic, metadata, payload).await })
            .await
    }

    async fn read(
        store: &Accessor<T, Self>,
        topic: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<wit::Event>, types::Error>> {
        let bytes = topic.len() + optional(after.as_ref());
        waits(store, ID, bytes, |handle| async move {
            let events = handle.events_read(topic, after, limit).await?;
            Ok(events.into_iter().map(Into::into).collect())
        })
        .await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn publish(
        &mut self,
        topic: String,
        metadata: Vec<(String, String)>,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<String, types_sync::Error>> {
        Ok(self.handle().events_publish(topic, metadata, payload).await.map_err(Into::into))
    }

    async fn read(
        &mut self,
        topic: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<wit_sync::Event>, types_sync::Error>> {
        let read = self.handle().events_read(topic, after, limit).await;
        Ok(read.map(|events| events.into_iter().map(Into::into).collect()).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use micro_api::manifest::{EventsGrants, Grants};

    use super::*;
    use crate::events::{METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX};
    use crate::tests::{World, context};

    fn service(world: &World) -> Handle {
        let (publish, consume) = (vec!["audit.*".to_owned(), "log".to_owned()], vec!["audit.*".to_owned()]);
        let grants = Grants { events: EventsGrants { publish, consume }, ..Grants::default() };
        Handle::new(world.guest(grants), context(Duration::from_secs(5)))
    }

    #[tokio::test]
    async fn a_service_publishes_and_reads_what_it_may() {
        let handle = service(&World::new());
        let own = |text: &str| ("Color".to_owned(), text.to_owned());
        let forged = ("micro-position".to_owned(), "9".to_owned());
        for text in ["red", "green"] {
            handle
                .events_publish("audit.a".into(), vec![own(text), forged.clone()], b"x".to_vec())
                .await
                .unwrap();
        }
        let all = handle.events_read("audit.a".into(), None, 1_000).await.unwrap();
        assert_eq!(all.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(all[0].metadata, BTreeMap::from([own("red")]));
        let read = async |after: &str, limit| {
            let read = handle.events_read("audit.a".into(), Some(after.to_owned()), limit).await;
            read.map(|events| events.len()).map_err(|error| error.code)
        };
        assert_eq!((read("1", 9).await, read("start", 1).await, read("2", 9).await), (Ok(1), Ok(1), Ok(0)));
        assert_eq!(read("1970-01-01T00:00:00Z", 9).await, Ok(2));
        assert_eq!(
            (read("first", 9).await, read("1", 0).await, read("1", 1_001).await),
            (Err(400), Err(400), Err(400))
        );

        let refused = handle.events_read("log".into(), None, 1).await.unwrap_err();
        assert_eq!(refused.code, 403);
        assert!(refused.detail.contains("add `events = { consume = [\"log\"] }`"), "{}", refused.detail);
        let refused = handle.events_publish("audit".into(), Vec::new(), Vec::new()).await.unwrap_err();
        assert_eq!(refused.code, 403);
        assert!(refused.detail.contains("add `events = { publish = [\"audit\"] }`"), "{}", refused.detail);
    }

    #[tokio::test]
    async fn what_is_no_event_is_refused() {
        let handle = service(&World::new());
        let publish = async |topic: &str, metadata: &str, payload: usize| {
            let metadata = vec![("k".to_owned(), metadata.to_owned())];
            handle
                .events_publish(topic.to_owned(), metadata, vec![0; payload])
                .await
                .map_err(|error| error.code)
        };
        assert!(publish("log", "v", PAYLOAD_BYTES_MAX).await.is_ok());
        assert_eq!(publish("log", "v", PAYLOAD_BYTES_MAX + 1).await, Err(400));
        assert_eq!(publish("log", &"v".repeat(METADATA_BYTES_MAX), 0).await, Err(400));
        assert_eq!(publish("audit..a", "v", 0).await, Err(400));
        assert_eq!(publish("audit.dead", "v", 0).await, Err(403), "only the platform buries");
        let missing = handle.events_publish(String::new(), Vec::new(), Vec::new()).await.unwrap_err();
        assert_eq!((missing.code, missing.detail.as_str()), (400, "Missing topic"));
    }
}
