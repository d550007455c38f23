//! The broker as a person sees it: the topics of a namespace that they may see.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use micro_api::Error;
use micro_api::broker as api;
use micro_api::name::Namespace;

use super::host::{ID, check_topic, message};
use super::{Backend, Dead, Filter, Group, GroupKey, GroupState, TopicKey};

/// Most dead letters of one answer.
const DEAD_MAX: usize = 1_000;
/// Most bytes of bodies in one answer.
const DEAD_BYTES_MAX: usize = 8 << 20;

/// Publishes and looks on a person's behalf. Who may see which namespace is decided before.
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

    /// Publishes a JSON object.
    ///
    /// # Errors
    /// 400 for a bad topic or message, 429 when a backlog is full.
    pub async fn publish(&self, namespace: &Namespace, publish: api::Publish) -> Result<(), Error> {
        let topic = TopicKey::new(namespace, &publish.topic)?;
        check_topic(&publish.topic)?;
        let named = |(key, _): &(&String, &String)| key.eq_ignore_ascii_case("content-type");
        if publish.metadata.iter().any(|pair| named(&pair)) {
            return Err(Error::bad_request(
                ID,
                "the message is JSON: leave Content-Type out of the metadata",
            ));
        }
        let body = serde_json::to_vec(&publish.message)
            .map_err(|error| Error::bad_request(ID, error.to_string()))?;
        let message = message(publish.metadata.into_iter().collect(), body.into(), None, String::new())?;
        Ok(self.backend.publish(&topic, message).await.map(drop)?)
    }

    /// Groups of the namespace.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn groups(&self, namespace: &Namespace) -> Result<Vec<api::Group>, Error> {
        Ok(self.backend.groups(namespace).await?.into_iter().map(shown).collect())
    }

    /// Ends a queue's group of a topic with all its messages. One that somebody serves is there again at once, empty.
    ///
    /// # Errors
    /// 404 when there is none, 400 for a fan-out group: it goes with its service.
    pub async fn forget(&self, namespace: &Namespace, topic: &str, queue: &str) -> Result<(), Error> {
        if queue.is_empty() {
            return Err(Error::bad_request(ID, "which queue? A fan-out group goes with its service"));
        }
        let key = GroupKey { topic: TopicKey::new(namespace, topic)?, group: Group::Queue(queue.to_owned()) };
        if !self.backend.groups(namespace).await?.iter().any(|state| state.key == key) {
            return Err(super::Error::Unknown.into());
        }
        Ok(self.backend.unsubscribe(&key).await?)
    }

    /// Dead letters, oldest first, up to `limit`, 1 000 and 8 MiB; 0: no limit of the caller's.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn dead(
        &self,
        namespace: &Namespace,
        filter: api::Filter,
        limit: usize,
    ) -> Result<Vec<api::Dead>, Error> {
        let limit = if limit == 0 { DEAD_MAX } else { limit.min(DEAD_MAX) };
        let mut found = self.backend.dead(namespace, &of_api(filter), limit).await?;
        found.sort_by_key(|dead| dead.died_ms);
        let mut bytes = 0;
        let fits = |dead: &Dead| {
            let fits = bytes < DEAD_BYTES_MAX;
            bytes += dead.message.bytes();
            fits
        };
        Ok(found.into_iter().take_while(fits).map(buried).collect())
    }

    /// Lets dead letters be delivered anew; how many.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn redrive(&self, namespace: &Namespace, filter: api::Filter) -> Result<api::Moved, Error> {
        let messages = self.backend.redrive(namespace, &of_api(filter)).await?;
        Ok(api::Moved { messages })
    }

    /// Deletes dead letters; how many.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn discard(&self, namespace: &Namespace, filter: api::Filter) -> Result<api::Moved, Error> {
        let messages = self.backend.discard(namespace, &of_api(filter)).await?;
        Ok(api::Moved { messages })
    }
}

fn of_api(filter: api::Filter) -> Filter {
    Filter { ids: filter.ids, topic: filter.topic, queue: filter.queue }
}

fn whole(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Queue, service and node of a group.
fn names(group: Group) -> (String, String, String) {
    match group {
        Group::Queue(queue) => (queue, String::new(), String::new()),
        Group::FanOut { service, version, node } => (String::new(), format!("{service}:{version}"), node),
    }
}

fn shown(state: GroupState) -> api::Group {
    let topic = state.key.topic.topic().to_owned();
    let (queue, service, node) = names(state.key.group);
    api::Group {
        topic,
        queue,
        service,
        node,
        waiting: state.waiting,
        in_flight: state.in_flight,
        bytes: state.bytes,
        delivered: state.delivered,
        failed: state.failed,
        dead: state.dead,
        dropped: state.dropped,
        seen_ms: whole(state.seen_ms),
    }
}

fn buried(dead: Dead) -> api::Dead {
    let (queue, service, _) = names(dead.group.group);
    api::Dead {
        id: dead.message.id.clone(),
        topic: dead.group.topic.topic().to_owned(),
        queue,
        service,
        attempts: dead.attempts,
        error: dead.reason,
        metadata: dead.message.headers.iter().cloned().collect(),
        body: BASE64.encode(&dead.message.body),
        published_ms: whole(dead.message.published_ms),
        died_ms: whole(dead.died_ms),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::broker::{Claim, Memory, MemoryConfig};

    fn publish(topic: &str, metadata: &[(&str, &str)]) -> api::Publish {
        let message = json!({"a": 1}).as_object().cloned().unwrap();
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        api::Publish { topic: topic.to_owned(), message, metadata: metadata.collect() }
    }

    #[tokio::test]
    async fn a_person_publishes_looks_and_cleans_up() {
        let backend = Arc::new(Memory::new(MemoryConfig::default()));
        let (admin, namespace) = (Admin::new(backend.clone()), Namespace::default());
        let topic = TopicKey::new(&namespace, "orders").unwrap();
        let key = GroupKey { topic, group: Group::Queue("mailer".to_owned()) };
        backend.subscribe(&key).await.unwrap();
        admin.publish(&namespace, publish("orders", &[("Shop", "berlin")])).await.unwrap();
        assert_eq!(admin.publish(&namespace, publish("a b", &[])).await.unwrap_err().code, 400);
        let typed = publish("orders", &[("content-type", "application/protobuf")]);
        assert_eq!(admin.publish(&namespace, typed).await.unwrap_err().code, 400);

        let group = admin.groups(&namespace).await.unwrap().remove(0);
        assert_eq!((group.topic.as_str(), group.queue.as_str(), group.waiting), ("orders", "mailer", 1));
        assert!(group.seen_ms > 1_700_000_000_000, "Unix time: {}", group.seen_ms);
        let claim = Claim { max: 1, lease: Duration::from_secs(9), wait: Duration::ZERO };
        let claimed = backend.claim(&key, claim).await.unwrap().remove(0);
        assert_eq!(claimed.message.from, None, "no service published it");
        backend.bury(&key, claimed.token, "no", true).await.unwrap();
        let dead = admin.dead(&namespace, api::Filter::default(), 0).await.unwrap().remove(0);
        assert_eq!((dead.error.as_str(), dead.metadata["Shop"].as_str()), ("no", "berlin"));
        assert_eq!(BASE64.decode(dead.body).unwrap(), b"{\"a\":1}");
        let moved = admin.redrive(&namespace, api::Filter::default()).await.unwrap();
        assert_eq!(moved.messages, 1);

        let other: Namespace = "other".parse().unwrap();
        assert_eq!(admin.forget(&other, "orders", "mailer").await.unwrap_err().code, 404);
        assert_eq!(admin.forget(&namespace, "orders", "").await.unwrap_err().code, 400);
        admin.forget(&namespace, "orders", "mailer").await.unwrap();
        assert!(admin.groups(&namespace).await.unwrap().is_empty());
        assert_eq!(admin.forget(&namespace, "orders", "mailer").await.unwrap_err().code, 404);
    }
}
