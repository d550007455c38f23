//! The one place where keys of topics and groups are made.

use std::sync::Arc;

use micro_api::broker::{is_pattern, is_topic};
use micro_api::name::Namespace;

use super::Error;
use crate::{GrantError, Scope};

/// A topic within a namespace. A backend gets nothing less specific, so it cannot reach over a tenant's border. Cheap
/// to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey(Arc<(Namespace, String)>);

impl TopicKey {
    /// A topic of `namespace`.
    ///
    /// # Errors
    /// [`Error::Topic`] when `topic` is none.
    pub fn new(namespace: &Namespace, topic: &str) -> Result<Self, Error> {
        if !is_topic(topic) {
            return Err(Error::Topic);
        }
        Ok(Self(Arc::new((namespace.clone(), topic.to_owned()))))
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.0.0
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.0.1
    }
}

/// Who shares messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// All subscribers of a queue of this name, on all nodes.
    Queue(String),
    /// One version of a service on one node.
    FanOut {
        /// The service.
        service: String,
        /// Its version.
        version: String,
        /// The node's id.
        node: String,
    },
}

impl Group {
    /// The group of a service that names `queue` in its manifest: its own when that is absent, one a node when empty.
    pub fn of(scope: &Scope, queue: Option<&str>, node: &str) -> Self {
        match queue {
            None => Self::Queue(scope.service.to_string()),
            Some("") => Self::FanOut {
                service: scope.service.to_string(),
                version: scope.version.clone(),
                node: node.to_owned(),
            },
            Some(queue) => Self::Queue(queue.to_owned()),
        }
    }
}

/// The name as people see it.
impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Queue(queue) => f.write_str(queue),
            Self::FanOut { service, version, node } => write!(f, "{service}:{version} on {node}"),
        }
    }
}

/// A group of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// What it listens to.
    pub topic: TopicKey,
    /// Who listens.
    pub group: Group,
}

/// The topics that a service may publish to, or read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics(Vec<String>);

impl Topics {
    /// Those that `patterns` name, of the line `key` in `[grants]`: a topic, `orders.*` for all below `orders`, `*` for all.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(key: &'static str, patterns: &[String]) -> Result<Self, GrantError> {
        match patterns.iter().find(|pattern| !is_pattern(pattern)) {
            Some(value) => Err(GrantError {
                key,
                value: value.clone(),
                hint: "use a topic, `orders.*` for all below `orders`, or `*`",
            }),
            None => Ok(Self(patterns.to_vec())),
        }
    }

    /// Whether one of the patterns covers `topic`.
    pub fn allow(&self, topic: &str) -> bool {
        let covers = |pattern: &String| match pattern.strip_suffix('*') {
            // What is left ends with the dot, so `orders.*` covers neither `orders` nor `ordersx`.
            Some(start) => topic.len() > start.len() && topic.starts_with(start),
            None => pattern == topic,
        };
        self.0.iter().any(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_cover_what_they_name_and_no_neighbour() {
        let topics = |patterns: &[&str]| {
            Topics::new("broker", &patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
                .unwrap()
        };
        let some = topics(&["orders.*", "audit"]);
        for yes in ["orders.created", "orders.eu.paid", "audit"] {
            assert!(some.allow(yes), "{yes}");
        }
        for no in ["orders", "ordersx.created", "audit.x", "other", ""] {
            assert!(!some.allow(no), "{no}");
        }
        assert!(topics(&["*"]).allow("any.thing") && !topics(&[]).allow("a"));
        assert!(Topics::new("broker", &["a*".to_owned()]).is_err());
    }

    #[test]
    fn topics_are_checked_and_belong_to_a_namespace() {
        let (one, two): (Namespace, Namespace) = ("one".parse().unwrap(), "two".parse().unwrap());
        assert_ne!(TopicKey::new(&one, "a").unwrap(), TopicKey::new(&two, "a").unwrap());
        for bad in ["", "a b", "one.", "two:a", "a\0", "*", "../two/a"] {
            assert!(TopicKey::new(&one, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_group_follows_the_queue() {
        let scope = crate::tests::scope();
        assert_eq!(Group::of(&scope, None, "n"), Group::Queue("greeter".to_owned()));
        assert_eq!(Group::of(&scope, Some("mail"), "n"), Group::Queue("mail".to_owned()));
        assert_ne!(Group::of(&scope, Some(""), "n"), Group::of(&scope, Some(""), "m"));
    }
}
