//! Names of keys. A topic has letters, digits, `_`, `-` and dots only; a queue, a service, a version and a node may be
//! anything, so they stand in hexadecimal: no two groups share a key, and none can name another's.

use micro_api::name::Namespace;
use sha2::{Digest as _, Sha256};

use super::bells::BELLS;
use crate::broker::{Group, GroupKey, TopicKey};

/// What all keys begin with.
pub(super) fn root(prefix: &str) -> String {
    format!("{prefix}:broker:")
}

/// The keys that are no namespace's: sums, what namespaces hold, processes, fan-out groups.
pub(super) fn of_all(prefix: &str) -> Vec<String> {
    ["all", "spaces", "nodes", "fans"].iter().map(|name| format!("{prefix}:broker:{name}")).collect()
}

/// Those, and the namespace's: its groups, and the messages of late. What is a namespace's has one hash tag, so that one
/// script may change it.
pub(super) fn of_space(prefix: &str, namespace: &Namespace) -> Vec<String> {
    let mut keys = of_all(prefix);
    keys.extend([groups(prefix, namespace), format!("{prefix}:broker:{{{namespace}}}:recent")]);
    keys
}

/// Sums and counters of the platform.
pub(super) fn sums(prefix: &str) -> String {
    format!("{prefix}:broker:all")
}

/// What namespaces with groups hold.
pub(super) fn spaces(prefix: &str) -> String {
    format!("{prefix}:broker:spaces")
}

/// The groups of a namespace.
pub(super) fn groups(prefix: &str, namespace: &Namespace) -> String {
    format!("{prefix}:broker:{{{namespace}}}:groups")
}

/// Where scripts ring.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}:broker:bells")
}

/// A group among those of its namespace.
pub(super) fn member(key: &GroupKey) -> String {
    let topic = key.topic.topic();
    match &key.group {
        Group::Queue(queue) => format!("{topic}/q/{}", hex::encode(queue)),
        Group::FanOut { service, version, node } => {
            format!("{topic}/f/{}/{}/{}", hex::encode(service), hex::encode(version), hex::encode(node))
        }
    }
}

/// The group that a name means.
pub(super) fn group(namespace: &Namespace, member: &str) -> Option<GroupKey> {
    let text = |digits: &str| String::from_utf8(hex::decode(digits).ok()?).ok();
    let parts: Vec<&str> = member.split('/').collect();
    let (topic, group) = match parts.as_slice() {
        [topic, "q", queue] => (topic, Group::Queue(text(queue)?)),
        [topic, "f", service, version, node] => {
            (topic, Group::FanOut { service: text(service)?, version: text(version)?, node: text(node)? })
        }
        _ => return None,
    };
    Some(GroupKey { topic: TopicKey::new(namespace, topic).ok()?, group })
}

/// The bell of a group, which others may share. Every node must find the same.
pub(super) fn bell(namespace: &Namespace, member: &str) -> usize {
    let digest = Sha256::digest(format!("{namespace}/{member}"));
    let number = digest.iter().take(4).fold(0_usize, |number, byte| number * 256 + usize::from(*byte));
    number % BELLS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const HOSTILE: [&str; 18] = [
        "foo",
        "foobar",
        "",
        "q",
        "f",
        "/",
        "a/q/61",
        "foo:state",
        "{a}",
        "}",
        "a\0",
        "a\nb",
        "*",
        "[a-z]?",
        "\\",
        "é",
        "66",
        "foo:",
    ];

    #[test]
    fn no_name_reaches_another_groups_keys() {
        let mut groups: Vec<Group> = HOSTILE.map(|name| Group::Queue(name.to_owned())).to_vec();
        for service in HOSTILE {
            for node in HOSTILE {
                let (service, version) = (service.to_owned(), "latest".to_owned());
                groups.push(Group::FanOut { service, version, node: node.to_owned() });
            }
        }
        let mut seen = HashSet::new();
        for namespace in ["a", "a-b", "ab", "b"] {
            let namespace: Namespace = namespace.parse().unwrap();
            for topic in ["foo", "foobar", "foo.bar", "q", "f", "a-b", "a_b", "61"] {
                let topic = TopicKey::new(&namespace, topic).unwrap();
                for group in &groups {
                    let key = GroupKey { topic: topic.clone(), group: group.clone() };
                    let member = member(&key);
                    assert!(bell(&namespace, &member) < BELLS);
                    // As the scripts make it.
                    let name = format!("{}{{{namespace}}}:group:{member}:state", root("micro"));
                    assert!(seen.insert(name.clone()), "{name} is another's");
                    assert_eq!(name.matches('{').count() + name.matches('}').count(), 2, "{name}");
                    assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?[]\\".contains(&byte)));
                    assert!(name.starts_with("micro:broker:{"), "{name} is the store's");
                    assert_eq!(super::group(&namespace, &member), Some(key));
                }
            }
            for name in of_space("micro", &namespace).split_off(4) {
                assert!(seen.insert(name.clone()), "{name} is another's");
            }
        }
        for name in of_all("micro") {
            assert!(seen.insert(name.clone()), "{name} is another's");
        }
    }

    #[test]
    fn what_is_no_groups_name_means_none() {
        let namespace = Namespace::default();
        for member in
            ["", "t", "t/q", "t/x/61", "t/q/6", "t/q/zz", "t/q/ff", "t/q/61/61", "t/f/61/61", "a b/q/61"]
        {
            assert_eq!(group(&namespace, member), None, "{member}");
        }
    }
}
