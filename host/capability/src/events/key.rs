//! The one place where the key of a topic or a group is made.

use std::sync::Arc;

use micro_api::broker::is_topic;
use micro_api::name::Namespace;

use super::Error;

/// Longest name of a group, bytes.
const GROUP_BYTES_MAX: usize = 128;
/// What a dead-letter topic is called, after the topic's name. Only the platform writes to such a topic.
pub(crate) const DEAD: &str = ".dead";
/// What an ephemeral group's name starts with; no name from outside can.
pub(crate) const EPHEMERAL: char = '~';

/// A topic within a namespace. A backend gets nothing less specific, so it cannot reach over a tenant's border. Cheap
/// to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey(Arc<Inner>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Inner {
    namespace: Namespace,
    topic: String,
}

impl TopicKey {
    /// A topic of a namespace. A dead-letter topic's name may be longer by its `.dead`.
    ///
    /// # Errors
    /// [`Error::Topic`] unless the name is one of the broker's, too: see [`is_topic`].
    pub fn named(namespace: &Namespace, topic: &str) -> Result<Self, Error> {
        if !is_topic(topic.strip_suffix(DEAD).unwrap_or(topic)) {
            return Err(Error::Topic);
        }
        Ok(Self(Arc::new(Inner { namespace: namespace.clone(), topic: topic.to_owned() })))
    }

    /// Where events go that were delivered too often; none for a dead-letter topic.
    pub fn dead(&self) -> Option<Self> {
        let Inner { namespace, topic } = &*self.0;
        let inner = || Inner { namespace: namespace.clone(), topic: format!("{topic}{DEAD}") };
        (!topic.ends_with(DEAD)).then(|| Self(Arc::new(inner())))
    }

    /// The tenant.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }
}

/// A group of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupKey {
    topic: TopicKey,
    group: Arc<str>,
}

impl GroupKey {
    /// A group that lasts until it is removed. The empty name makes an ephemeral group, which sees every event by
    /// itself and is removed when nobody asks in its name for 10 minutes; the name that it got makes it again.
    ///
    /// # Errors
    /// [`Error::Group`] unless the name has at most 128 bytes of `[A-Za-z0-9._-]`.
    pub fn named(topic: TopicKey, group: &str) -> Result<Self, Error> {
        if group.is_empty() {
            let group = format!("{EPHEMERAL}{}", uuid::Uuid::new_v4().simple());
            return Ok(Self { topic, group: group.into() });
        }
        // An ephemeral one that was made before.
        let made = group.strip_prefix(EPHEMERAL).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
        if !made && !is_group(group) {
            return Err(Error::Group);
        }
        Ok(Self { topic, group: group.into() })
    }

    /// The topic.
    pub fn topic(&self) -> &TopicKey {
        &self.topic
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }
}

fn is_group(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= GROUP_BYTES_MAX && name.bytes().all(allowed)
}
