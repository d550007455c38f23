//! Names of keys. Names of namespaces, topics and groups have neither colons, spaces nor braces, so no two of them share a
//! key, and none can name another's.

use micro_api::name::Namespace;

use super::super::TopicKey;

/// What the scripts are given as their keys: what those of a namespace begin with, and of nodes; where it is told that a
/// topic changed; and the namespaces that have events.
pub(super) fn keys(prefix: &str, namespace: &str) -> [String; 4] {
    [
        format!("{prefix}:events:{{{namespace}}}:"),
        format!("{prefix}:events:node:"),
        channel(prefix),
        spaces(prefix),
    ]
}

/// Where it is told that a topic changed.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}:events:told")
}

/// The set of the namespaces that have events.
pub(super) fn spaces(prefix: &str) -> String {
    format!("{prefix}:events:spaces")
}

/// The topic that changed.
pub(super) fn told(message: &[u8]) -> Option<TopicKey> {
    let (namespace, topic) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    TopicKey::named(&namespace.parse::<Namespace>().ok()?, topic).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::GroupKey;

    #[test]
    fn no_name_can_hold_what_parts_names() {
        let own: Namespace = "own".parse().unwrap();
        for part in [":", " ", "{", "}", "\n", "\0", "*", "%", "a:b", "a b", "é"] {
            assert!(part.parse::<Namespace>().is_err(), "{part:?}");
            assert!(TopicKey::named(&own, part).is_err(), "{part:?}");
            assert!(TopicKey::named(&own, &format!("a{part}.dead")).is_err(), "{part:?}");
            let topic = TopicKey::named(&own, "t").unwrap();
            assert!(GroupKey::named(topic.clone(), part).is_err(), "{part:?}");
            assert!(GroupKey::named(topic, &format!("~{part}")).is_err(), "{part:?}");
        }
        let [base, nodes, told_at, all] = keys("micro", "own");
        assert_eq!(base, "micro:events:{own}:");
        assert!([nodes, told_at, all].iter().all(|other| !other.contains('{')));
        assert_eq!(told(b"own t.dead"), TopicKey::named(&own, "t.dead").ok());
        assert!(told(b"own").is_none() && told(b"own a:b").is_none() && told(b"\xff t").is_none());
    }
}
