//! Tells other nodes that there is something new. They look each second anyway, so what is lost here only comes later.
//!
//! A notification within the append's own transaction would have all appends of all topics wait for each other: the server
//! commits one notifier at a time. So a task of its own tells what has come together since it told last.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::events::TopicKey;
use crate::postgres::Server;

/// Topics that are told at once; when there are more, all bells ring.
const TOPICS_MAX: usize = 256;
/// Stands for all topics.
const ALL: &str = "*";

#[derive(Debug)]
pub(super) struct Told {
    node: Uuid,
    channel: String,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    topics: HashSet<TopicKey>,
    all: bool,
}

/// What a node heard from another.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Topic(TopicKey),
    All,
    /// Its own words.
    Own,
}

impl Told {
    pub(super) fn new(node: Uuid, channel: String) -> Self {
        Self { node, channel, waiting: Mutex::default(), wake: Notify::new() }
    }

    pub(super) fn tell(&self, topic: &TopicKey) {
        let mut waiting = self.waiting.lock();
        if waiting.topics.len() < TOPICS_MAX {
            waiting.topics.insert(topic.clone());
        } else {
            waiting.all = true;
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Node, namespace and topic: names are short, and so far below the 8 000 bytes that a notification may have.
    fn payloads(&self) -> Vec<String> {
        let Waiting { topics, all } = std::mem::take(&mut *self.waiting.lock());
        let node = self.node.simple();
        if all {
            return vec![format!("{node} {ALL}")];
        }
        topics.iter().map(|topic| format!("{node} {} {}", topic.namespace(), topic.topic())).collect()
    }

    /// Until it is dropped.
    pub(super) async fn run(self: Arc<Self>, server: Arc<Server>) {
        loop {
            self.wake.notified().await;
            let payloads = self.payloads();
            if payloads.is_empty() {
                continue;
            }
            let told = server.retried(|| {
                sqlx::query("SELECT pg_notify($1, t.payload) FROM unnest($2) AS t(payload)")
                    .bind(&self.channel)
                    .bind(&payloads)
                    .execute(&server.pool)
            });
            if let Err(error) = told.await {
                tracing::debug!(%error, "Other nodes were not told of events");
            }
        }
    }
}

/// What a payload says; none: nothing that is known.
pub(super) fn heard(node: Uuid, payload: &str) -> Option<Heard> {
    let (sender, what) = payload.split_once(' ')?;
    if Uuid::try_parse(sender).ok()? == node {
        return Some(Heard::Own);
    }
    if what == ALL {
        return Some(Heard::All);
    }
    let (namespace, topic) = what.split_once(' ')?;
    TopicKey::named(&namespace.parse().ok()?, topic).ok().map(Heard::Topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_and_bounded() {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        let told = Told::new(here, "c".to_owned());
        let topic = |name: &str| TopicKey::named(&"one".parse().unwrap(), name).unwrap();
        let long = topic(&format!("{}.dead", "t".repeat(256)));
        for _ in 0..3 {
            told.tell(&long);
        }
        let payloads = told.payloads();
        assert_eq!(payloads.len(), 1);
        assert_eq!(heard(there, &payloads[0]), Some(Heard::Topic(long)));
        assert_eq!(heard(here, &payloads[0]), Some(Heard::Own));
        assert!(told.payloads().is_empty());
        for number in 0..=TOPICS_MAX {
            told.tell(&topic(&number.to_string()));
        }
        let payloads = told.payloads();
        assert_eq!((payloads.len(), heard(there, &payloads[0])), (1, Some(Heard::All)));
        for wrong in
            ["", "x", "x y z", &format!("{here}"), &format!("{here} one"), &format!("{here} one a..b")]
        {
            assert_eq!(heard(there, wrong), None, "{wrong}");
        }
    }
}
