//! What a running revision subscribed to, and which events it consumes.

use std::time::Duration;

use micro_artifact::RevisionManifest;
use micro_capability::broker::{Group, GroupKey, Subscription, Target, TopicKey};
use micro_capability::events::{self, Consumer};
use micro_control::ActiveRevision;

use crate::node::scope;

/// The wait before an event's second delivery; it doubles with each further one.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The subscriptions of a revision on the node `node`. Its manifest was checked when it was built.
pub(crate) fn of(active: &ActiveRevision, manifest: &RevisionManifest, node: &str) -> Vec<Subscription> {
    let scope = scope(active);
    let one = |subscribe: &micro_api::manifest::Subscribe| {
        let topic = TopicKey::new(&scope.namespace, &subscribe.topic).ok()?;
        let group = Group::of(&scope, subscribe.queue.as_deref(), node);
        let target = Target {
            scope: scope.clone(),
            endpoint: subscribe.endpoint.clone(),
            concurrency: subscribe.concurrency(),
            retries: subscribe.retries(),
            ack_wait: subscribe.ack_wait(),
            delay: subscribe.delay(),
        };
        Some(Subscription {
            deployment: active.deployment.clone(),
            group: GroupKey { topic, group },
            target,
            dead_letter: subscribe.dead_letter,
        })
    };
    manifest.settings.subscribe.iter().filter_map(one).collect()
}

/// The topics of events that a revision consumes, one event at a time.
pub(crate) fn consumers(active: &ActiveRevision, manifest: &RevisionManifest) -> Vec<Consumer> {
    let scope = scope(active);
    let one = |consume: &micro_api::manifest::Consume| {
        let topic = events::TopicKey::named(&scope.namespace, &consume.topic).ok()?;
        let group = consume.group.clone().unwrap_or_else(|| scope.service.to_string());
        let target = Target {
            scope: scope.clone(),
            endpoint: consume.endpoint.clone(),
            concurrency: 1,
            retries: consume.retries(),
            ack_wait: consume.ack_wait(),
            delay: RETRY_DELAY,
        };
        let group = events::GroupKey::named(topic, &group).ok()?;
        let deployment = active.deployment.clone();
        Some(Consumer { deployment, group, start: consume.offset().into(), target })
    };
    manifest.settings.consume.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use micro_api::manifest::{Consume, Manifest, Subscribe};
    use micro_artifact::{Code, Digest};

    use super::*;

    fn subscribe(topic: &str, queue: Option<&str>) -> Subscribe {
        let (queue, delay) = (queue.map(str::to_owned), Some("2s".to_owned()));
        Subscribe {
            topic: topic.to_owned(),
            endpoint: "A.B".to_owned(),
            queue,
            delay,
            ..Subscribe::default()
        }
    }

    fn active() -> ActiveRevision {
        ActiveRevision {
            namespace: "acme".parse().unwrap(),
            service: "app".parse().unwrap(),
            version: "v1".to_owned(),
            revision: Digest::of(b"x"),
            deployment: "d1".to_owned(),
            started_ms: 0,
            updated_ms: 0,
        }
    }

    fn manifest(settings: Manifest) -> RevisionManifest {
        let digest = Digest::of(b"x");
        let code = Code { component: digest, native: digest, engine: String::new() };
        RevisionManifest::new("app".parse().unwrap(), code, settings)
    }

    #[test]
    fn a_manifest_becomes_subscriptions_of_its_service() {
        let subscribe = vec![subscribe("a", None), subscribe("b", Some("")), subscribe("c", Some("mail"))];
        let settings = Manifest { subscribe, ..Manifest::default() };
        let found = of(&active(), &manifest(settings), "n1");
        let groups: Vec<_> = found.iter().map(|one| one.group.group.to_string()).collect();
        assert_eq!(groups, ["app", "app:v1 on n1", "mail"]);
        let one = &found[0];
        assert_eq!((one.group.topic.namespace().as_str(), one.group.topic.topic()), ("acme", "a"));
        assert_eq!((one.deployment.as_str(), one.target.delay), ("d1", Duration::from_secs(2)));
        assert_eq!((one.target.scope.version.as_str(), one.target.retries, one.dead_letter), ("v1", 3, true));
    }

    #[test]
    fn a_manifest_becomes_consumers_of_its_service() {
        let own = Consume { topic: "a".to_owned(), endpoint: "A.B".to_owned(), ..Consume::default() };
        let (group, offset) = (Some("g".to_owned()), Some("end".to_owned()));
        let other =
            Consume { group, offset, retries: Some(7), ack_wait: Some("2s".to_owned()), ..own.clone() };
        let settings = Manifest { consume: vec![own, other], ..Manifest::default() };
        let found = consumers(&active(), &manifest(settings));
        let [own, other] = &found[..] else { panic!("{found:?}") };
        assert_eq!((own.group.group(), own.start, own.target.retries), ("app", events::From::Start, 3));
        assert_eq!((own.group.topic().namespace().as_str(), own.group.topic().topic()), ("acme", "a"));
        assert_eq!((other.group.group(), other.start), ("g", events::From::End));
        let target = &other.target;
        assert_eq!((target.retries, target.ack_wait, target.concurrency), (7, Duration::from_secs(2), 1));
        assert_eq!((other.deployment.as_str(), target.endpoint.as_str()), ("d1", "A.B"));
    }
}
