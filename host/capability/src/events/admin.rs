//! Events as a person, or a program of theirs, sees them: the topics of a namespace that they may see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::stream::{self, BoxStream, StreamExt as _};
use micro_api::Error;
use micro_api::events as api;
use micro_api::name::Namespace;
use uuid::Uuid;

use super::host::{ID, publish, topic};
use super::{Backend, Event, GroupKey, IN_FLIGHT_MAX, Lease, Nack, Tail, Then, TopicKey};

/// How often a waiting client looks when no bell rings: events to be tried again ring none.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for a first event.
const WAIT_MAX_MS: u64 = 30_000;
/// Longest wait before an event is tried again, and longest wait for an answer: a day.
const DAY_MS: u64 = 86_400_000;

/// Publishes and reads on a person's behalf. Who may see which namespace is decided before.
#[derive(Clone)]
pub struct Admin {
    backend: Arc<dyn Backend>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Over the backend that the guests use.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// Appends a JSON object.
    ///
    /// # Errors
    /// 400 for a bad topic or event, 403 for a dead-letter topic, 429 for too many topics, 507 when there is
    /// no room.
    pub async fn publish(
        &self,
        namespace: &Namespace,
        wanted: api::Publish,
    ) -> Result<api::Published, Error> {
        let topic = topic(namespace, &wanted.topic)?;
        if wanted.metadata.keys().any(|key| key.eq_ignore_ascii_case("content-type")) {
            return Err(Error::bad_request(ID, "the event is JSON: leave Content-Type out of the metadata"));
        }
        let payload =
            serde_json::to_vec(&wanted.message).map_err(|error| Error::bad_request(ID, error.to_string()))?;
        let appended = publish(&*self.backend, &topic, wanted.metadata, payload.into()).await?;
        Ok(api::Published {
            id: appended.id.to_string(),
            position: appended.position,
            timestamp_ms: appended.timestamp_ms,
        })
    }

    /// A page of history.
    ///
    /// # Errors
    /// 400 for a bad topic, or when the backend fails.
    pub async fn read(
        &self,
        namespace: &Namespace,
        name: &str,
        from: api::Offset,
        limit: usize,
    ) -> Result<Vec<api::Event>, Error> {
        let topic = topic(namespace, name)?;
        let page = self.backend.read(&topic, from.into(), limit).await?;
        Ok(page.events.into_iter().map(|event| shown(&topic, event)).collect())
    }

    /// History, then what comes. After an error there is nothing more.
    ///
    /// # Errors
    /// 400 for a bad topic.
    pub fn stream(
        &self,
        namespace: &Namespace,
        name: &str,
        from: api::Offset,
    ) -> Result<BoxStream<'static, Result<api::Event, Error>>, Error> {
        let topic = topic(namespace, name)?;
        let tail = Tail::new(Arc::clone(&self.backend), topic.clone(), from.into());
        let pages = stream::unfold(Some(tail), move |tail| {
            let topic = topic.clone();
            async move {
                let mut tail = tail?;
                let (items, tail): (Vec<Result<api::Event, Error>>, _) = match tail.next().await {
                    Ok(events) => {
                        (events.into_iter().map(|event| Ok(shown(&topic, event))).collect(), Some(tail))
                    }
                    Err(error) => (vec![Err(error.into())], None),
                };
                Some((stream::iter(items), tail))
            }
        });
        Ok(pages.flatten().boxed())
    }

    /// Takes events in a group's name, waiting for a first one as long as is asked.
    ///
    /// # Errors
    /// 400 for what makes no sense, 429 when there are too many groups.
    pub async fn consume(&self, namespace: &Namespace, wanted: api::Consume) -> Result<api::Consumed, Error> {
        let topic = topic(namespace, &wanted.topic)?;
        let group = GroupKey::named(topic.clone(), &wanted.group)?;
        let max = usize::try_from(wanted.max).ok().filter(|max| (1..=IN_FLIGHT_MAX).contains(max));
        let max =
            max.ok_or_else(|| Error::bad_request(ID, format!("`max` is 1 to {IN_FLIGHT_MAX} events")))?;
        if wanted.wait_ms > WAIT_MAX_MS {
            return Err(Error::bad_request(ID, format!("`wait_ms` is at most {WAIT_MAX_MS}")));
        }
        let start: api::Offset = wanted
            .offset
            .parse()
            .map_err(|error: api::OffsetError| Error::bad_request(ID, error.to_string()))?;
        let lease = Lease {
            max,
            // What is not positive is none, and the backend says so.
            ack_wait_ms: u64::try_from(wanted.ack_wait_ms).unwrap_or(0).min(DAY_MS),
            retries: u32::try_from(wanted.retries).ok(),
            in_flight: IN_FLIGHT_MAX,
            start: start.into(),
        };
        let until = Instant::now() + Duration::from_millis(wanted.wait_ms);
        let mut bell = self.backend.bell(&topic);
        let taken = loop {
            bell.borrow_and_update();
            let taken = self.backend.next(&group, lease).await?;
            let now = Instant::now();
            if !taken.is_empty() || now >= until {
                break taken;
            }
            let look = tokio::time::sleep(LOOK.min(until - now));
            tokio::select! {
                () = look => {}
                Ok(()) = bell.changed() => {}
            }
        };
        let delivery = |delivery: super::Delivery| api::Delivery {
            event: shown(&topic, delivery.event),
            attempt: delivery.attempt,
        };
        let events = taken.into_iter().map(delivery).collect();
        Ok(api::Consumed { group: group.group().to_owned(), events })
    }

    /// Settles a delivery.
    ///
    /// # Errors
    /// 404 when it is over, or never was.
    pub async fn ack(&self, namespace: &Namespace, ack: api::Ack) -> Result<(), Error> {
        let topic = topic(namespace, &ack.topic)?;
        if ack.group.is_empty() {
            return Err(Error::bad_request(ID, "Missing group"));
        }
        let group = GroupKey::named(topic, &ack.group)?;
        let id = Uuid::try_parse(&ack.id)
            .map_err(|_| Error::bad_request(ID, format!("`{}` is no event's id", ack.id)))?;
        let was = if ack.success {
            self.backend.ack(&group, &[id]).await? > 0
        } else {
            let (attempt, delay_ms) = (ack.attempt, ack.delay_ms.min(DAY_MS));
            let nack = Nack { attempt, delay_ms, reason: ack.reason, then: Then::Again };
            self.backend.nack(&group, id, nack).await?
        };
        if was { Ok(()) } else { Err(Error::not_found(ID, "that delivery is over")) }
    }

    /// Bytes of the events that are kept.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn held(&self, namespace: &Namespace) -> Result<u64, super::Error> {
        self.backend.held(namespace).await
    }

    /// The groups of a topic.
    ///
    /// # Errors
    /// 400 for a bad topic, or when the backend fails.
    pub async fn groups(&self, namespace: &Namespace, name: &str) -> Result<Vec<api::Group>, Error> {
        let topic = topic(namespace, name)?;
        let groups = self.backend.groups(&topic).await?;
        let group = |group: super::GroupInfo| api::Group {
            topic: name.to_owned(),
            group: group.group,
            cursor: group.cursor,
            pending: group.pending,
            behind: group.behind,
        };
        Ok(groups.into_iter().map(group).collect())
    }
}

fn shown(topic: &TopicKey, event: Event) -> api::Event {
    api::Event {
        id: event.id.to_string(),
        topic: topic.topic().to_owned(),
        position: event.position,
        timestamp_ms: event.timestamp_ms,
        metadata: event.metadata,
        payload: BASE64.encode(&event.payload),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::{Sqlite, SqliteConfig};

    fn admin() -> Admin {
        Admin::new(Sqlite::open(&SqliteConfig::memory()).unwrap())
    }

    fn own() -> Namespace {
        "one".parse().unwrap()
    }

    async fn publish(admin: &Admin, number: u32) -> api::Published {
        let wanted =
            json!({"topic": "t", "message": {"n": number}, "metadata": {"Micro-X": "forged", "K": "v"}});
        admin.publish(&own(), serde_json::from_value(wanted).unwrap()).await.unwrap()
    }

    fn consume(group: &str) -> api::Consume {
        api::Consume { topic: "t".to_owned(), group: group.to_owned(), ..api::Consume::default() }
    }

    #[tokio::test]
    async fn what_is_published_is_read_and_streamed() {
        let admin = admin();
        let mut follow = admin.stream(&own(), "t", api::Offset::Start).unwrap();
        let first = publish(&admin, 1).await;
        publish(&admin, 2).await;
        let read = admin.read(&own(), "t", api::Offset::Start, 9).await.unwrap();
        assert_eq!((read.len(), &read[0].id, read[0].position), (2, &first.id, first.position));
        assert_eq!(BASE64.decode(&read[0].payload).unwrap(), b"{\"n\":1}");
        assert_eq!(read[0].metadata, std::collections::BTreeMap::from([("K".to_owned(), "v".to_owned())]));
        for event in &read {
            assert_eq!(follow.next().await.unwrap().unwrap(), *event);
        }
        let other = "two".parse().unwrap();
        assert!(admin.read(&other, "t", api::Offset::Start, 9).await.unwrap().is_empty());
        let missing = admin.read(&own(), "", api::Offset::Start, 9).await.unwrap_err();
        assert_eq!((missing.code, missing.detail.as_str()), (400, "Missing topic"));
    }

    #[tokio::test]
    async fn a_group_takes_and_settles() {
        let admin = admin();
        let waiting = admin.clone();
        let wait = api::Consume { wait_ms: 20_000, retries: 0, ..consume("g") };
        let taken = tokio::spawn(async move { waiting.consume(&own(), wait).await.unwrap() });
        publish(&admin, 1).await;
        let taken = taken.await.unwrap();
        let ack = |success| api::Ack {
            topic: "t".to_owned(),
            group: "g".to_owned(),
            id: taken.events[0].event.id.clone(),
            attempt: taken.events[0].attempt,
            success,
            delay_ms: 0,
            reason: "no".to_owned(),
        };
        let group = admin.groups(&own(), "t").await.unwrap().remove(0);
        assert_eq!((group.group.as_str(), group.cursor, group.pending, group.behind), ("g", 1, 1, 0));
        let other: Namespace = "two".parse().unwrap();
        assert_eq!(admin.ack(&other, ack(true)).await.unwrap_err().code, 404);
        admin.ack(&own(), ack(false)).await.unwrap();
        assert_eq!(admin.ack(&own(), ack(true)).await.unwrap_err().code, 404, "it is dead by now");
        let dead = admin.read(&own(), "t.dead", api::Offset::Start, 9).await.unwrap();
        assert_eq!(dead[0].metadata["Micro-Dead-Reason"], "no");

        // Each one without a name sees everything, and goes on by the name that it got.
        let one = admin.consume(&own(), consume("")).await.unwrap();
        let two = admin.consume(&own(), consume("")).await.unwrap();
        assert_eq!((one.events.len(), two.events.len()), (1, 1));
        assert_ne!(one.group, two.group);
        let again = admin.consume(&own(), consume(&one.group)).await.unwrap();
        assert_eq!((again.group, again.events.len()), (one.group, 0));
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let admin = admin();
        let said = async |wanted: api::Consume| admin.consume(&own(), wanted).await.unwrap_err();
        for ack_wait_ms in [0, -5] {
            let error = said(api::Consume { ack_wait_ms, ..consume("g") }).await;
            assert_eq!(error.code, 400);
            assert_eq!(error.detail, "invalid AckWait passed, should be positive integer");
        }
        assert_eq!(said(api::Consume { max: 0, ..consume("g") }).await.code, 400);
        assert_eq!(said(api::Consume { max: 257, ..consume("g") }).await.code, 400);
        assert_eq!(said(api::Consume { wait_ms: 30_001, ..consume("g") }).await.code, 400);
        assert_eq!(said(api::Consume { offset: "soon".to_owned(), ..consume("g") }).await.code, 400);
        assert_eq!(said(consume("~g")).await.code, 400);
        assert_eq!(said(api::Consume { topic: String::new(), ..consume("g") }).await.detail, "Missing topic");
        let wanted = json!({"topic": "t", "message": {}, "metadata": {"content-type": "text/plain"}});
        let refused = admin.publish(&own(), serde_json::from_value(wanted).unwrap()).await.unwrap_err();
        assert_eq!(refused.code, 400);
        let ack = api::Ack {
            topic: "t".to_owned(),
            group: "g".to_owned(),
            id: "x".to_owned(),
            ..Default::default()
        };
        assert_eq!(admin.ack(&own(), ack).await.unwrap_err().code, 400);
    }
}
