//! Names of keys. What names a lock has no control characters, so one of them keeps its parts apart: no two locks share
//! a place, and none can name another's.

use micro_api::name::Namespace;

use super::super::LockKey;

/// The keys of a namespace, as the scripts take them: locks, expiries, the last fence. They share one hash tag.
pub(super) fn keys(prefix: &str, namespace: &Namespace) -> [String; 3] {
    ["locks", "expiries", "fence"].map(|what| format!("{prefix}:sync:{{{namespace}}}:{what}"))
}

/// A lock among those of its namespace.
pub(super) fn lock(key: &LockKey) -> String {
    format!("{}\n{}", key.service(), key.name())
}

/// A lock among those of all namespaces.
pub(super) fn everywhere(key: &LockKey) -> String {
    format!("{}\n{}", key.namespace(), lock(key))
}

/// Where it is told that a lock is free.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}:sync:free")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::super::contract::key_of;
    use super::*;

    #[test]
    fn no_lock_has_anothers_place() {
        let hostile = ["a", "a:b", "b", "{a}", "}", "*", "a b", "%0a", "é", "greeter", "1 1 =x"];
        let (mut locks, mut keys_seen) = (HashSet::new(), HashSet::new());
        for namespace in ["a", "a-b", "ab"] {
            for service in ["greeter", "a", "a-greeter"] {
                for name in hostile {
                    let key = key_of(namespace, service, name);
                    assert!(locks.insert(everywhere(&key)), "{namespace}/{service}/{name} is another's");
                    let tag = format!("{{{namespace}}}");
                    for own in keys("micro", key.namespace()) {
                        assert_eq!(own.matches(&tag).count(), 1, "{own}");
                        keys_seen.insert(own);
                    }
                }
            }
        }
        assert_eq!(keys_seen.len(), 9);
        assert!(!keys_seen.contains(&channel("micro")));
    }
}
