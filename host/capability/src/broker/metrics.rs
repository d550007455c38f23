//! Counts by topic for the operator. Tenants name topics, so the number of labels is bounded, in all and for each.

use std::collections::HashMap;
use std::fmt::Write as _;

use micro_api::name::Namespace;

use super::TopicKey;

/// Topics with a label of their own.
const TOPICS_MAX: usize = 500;
/// The same of one namespace.
const NAMESPACE_TOPICS_MAX: usize = 20;

/// What happened to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Published,
    Delivered,
    Failed,
    Dead,
}

const EVENTS: [(Event, &str, &str); 4] = [
    (Event::Published, "micro_broker_published_total", "Messages that a group got."),
    (Event::Delivered, "micro_broker_delivered_total", "Deliveries that were answered."),
    (Event::Failed, "micro_broker_failed_total", "Deliveries that failed."),
    (Event::Dead, "micro_broker_dead_total", "Messages that were given up."),
];

/// The sums since the process began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    topics: HashMap<TopicKey, [u64; 4]>,
    by_namespace: HashMap<Namespace, usize>,
    others: [u64; 4],
    pub(super) unheard: u64,
    pub(super) refused: u64,
    pub(super) groups_gone: u64,
}

impl Counts {
    pub(super) fn add(&mut self, topic: &TopicKey, event: Event) {
        let is_new = !self.topics.contains_key(topic);
        if is_new {
            let own = self.by_namespace.get(topic.namespace()).copied().unwrap_or_default();
            if self.topics.len() >= TOPICS_MAX || own >= NAMESPACE_TOPICS_MAX {
                return bump(&mut self.others, event);
            }
            self.by_namespace.insert(topic.namespace().clone(), own + 1);
        }
        bump(self.topics.entry(topic.clone()).or_default(), event);
    }

    pub(super) fn render(&self, groups: usize, bytes: u64) -> String {
        let mut text = String::new();
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort();
        for (at, (_, name, help)) in EVENTS.iter().enumerate() {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (topic, sums) in &topics {
                let (namespace, topic) = (topic.namespace(), topic.topic());
                let sum = sums.get(at).copied().unwrap_or_default();
                let _ = writeln!(text, "{name}{{namespace=\"{namespace}\",topic=\"{topic}\"}} {sum}");
            }
            let others = self.others.get(at).copied().unwrap_or_default();
            let _ = writeln!(text, "{name}{{namespace=\"\",topic=\"\"}} {others}");
        }
        for (name, kind, help, value) in [
            ("micro_broker_unheard_total", "counter", "Messages that no group wanted.", self.unheard),
            ("micro_broker_refused_total", "counter", "Messages that found a backlog full.", self.refused),
            ("micro_broker_groups_gone_total", "counter", "Groups unseen for a day.", self.groups_gone),
            ("micro_broker_groups", "gauge", "Groups.", groups as u64),
            ("micro_broker_bytes", "gauge", "Bytes of messages and dead letters.", bytes),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}

fn bump(sums: &mut [u64; 4], event: Event) {
    let at = EVENTS.iter().position(|(known, ..)| *known == event);
    if let Some(sum) = at.and_then(|at| sums.get_mut(at)) {
        *sum += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_a_bound() {
        let mut counts = Counts::default();
        for namespace in 0..40 {
            let namespace: Namespace = format!("n{namespace}").parse().unwrap();
            for topic in 0..40 {
                let topic = TopicKey::new(&namespace, &format!("t{topic}")).unwrap();
                counts.add(&topic, Event::Published);
                counts.add(&topic, Event::Dead);
            }
        }
        let text = counts.render(3, 7);
        let labels =
            text.lines().filter(|line| line.starts_with("micro_broker_published_total{namespace=\"n"));
        assert_eq!(labels.count(), TOPICS_MAX);
        assert!(text.contains("micro_broker_published_total{namespace=\"n0\",topic=\"t0\"} 1\n"), "{text}");
        assert!(text.contains("micro_broker_dead_total{namespace=\"\",topic=\"\"} 1100\n"), "{text}");
        assert!(text.contains("micro_broker_bytes 7\n"), "{text}");
    }
}
