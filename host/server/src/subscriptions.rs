//! What a running revision subscribed to.

use micro_artifact::RevisionManifest;
use micro_capability::broker::{Group, GroupKey, Subscription, Target, TopicKey};
use micro_control::ActiveRevision;

use crate::node::scope;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use micro_api::manifest::{Manifest, Subscribe};
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

    #[test]
    fn a_manifest_becomes_subscriptions_of_its_service() {
        let digest = Digest::of(b"x");
        let active = ActiveRevision {
            namespace: "acme".parse().unwrap(),
            service: "app".parse().unwrap(),
            version: "v1".to_owned(),
            revision: digest,
            deployment: "d1".to_owned(),
            started_ms: 0,
            updated_ms: 0,
        };
        let subscribe = vec![subscribe("a", None), subscribe("b", Some("")), subscribe("c", Some("mail"))];
        let settings = Manifest { subscribe, ..Manifest::default() };
        let code = Code { component: digest, native: digest, engine: String::new() };
        let manifest = RevisionManifest::new("app".parse().unwrap(), code, settings);
        let found = of(&active, &manifest, "n1");
        let groups: Vec<_> = found.iter().map(|one| one.group.group.to_string()).collect();
        assert_eq!(groups, ["app", "app:v1 on n1", "mail"]);
        let one = &found[0];
        assert_eq!((one.group.topic.namespace().as_str(), one.group.topic.topic()), ("acme", "a"));
        assert_eq!((one.deployment.as_str(), one.target.delay), ("d1", Duration::from_secs(2)));
        assert_eq!((one.target.scope.version.as_str(), one.target.retries, one.dead_letter), ("v1", 3, true));
    }
}
