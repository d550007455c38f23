//! A group against a model of it, with a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use micro_api::name::Namespace;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use uuid::Uuid;

use super::file::EventFile;
use crate::events::{
    Delivery, Error, Event, From, GROUPS_MAX, GroupKey, IN_FLIGHT_MAX, Lease, Nack, New, PENDING_MAX, Plans,
    Retention, TOPICS_MAX, Then, TopicKey,
};

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Append(usize),
    Next { max: usize, in_flight: usize },
    Ack(usize),
    Nack(usize, u64),
    Wait(u64),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_usize..4).prop_map(Step::Append),
        (1_usize..4, 1_usize..4).prop_map(|(max, in_flight)| Step::Next { max, in_flight }),
        (0_usize..4).prop_map(Step::Ack),
        (0_usize..4, 0_u64..150).prop_map(|(which, delay)| Step::Nack(which, delay)),
        (1_u64..200).prop_map(Step::Wait),
    ]
}

/// Pending events by position: attempts, leased, due.
#[derive(Default)]
struct Model {
    ids: Vec<Uuid>,
    cursor: usize,
    pending: BTreeMap<usize, (u32, bool, u64)>,
    dead: Vec<usize>,
}

impl Model {
    fn next(&mut self, max: usize, in_flight: usize, retries: u32, now: u64) -> Vec<(usize, u32)> {
        let leased = self.pending.values().filter(|(_, leased, due)| *leased && *due > now).count();
        let room = in_flight.saturating_sub(leased).min(max);
        let mut given = Vec::new();
        let due: Vec<_> =
            self.pending.iter().filter(|(_, state)| state.2 <= now).map(|(at, _)| *at).collect();
        for position in due {
            let attempts = self.pending[&position].0;
            if attempts > retries {
                self.pending.remove(&position);
                self.dead.push(position);
            } else if given.len() == room {
                break;
            } else {
                self.pending.insert(position, (attempts + 1, true, now + 100));
                given.push((position, attempts + 1));
            }
        }
        while given.len() < room && self.cursor < self.ids.len() {
            self.cursor += 1;
            self.pending.insert(self.cursor, (1, true, now + 100));
            given.push((self.cursor, 1));
        }
        given
    }
}

/// A log that is told what time it is.
pub(crate) trait Log {
    fn append(&mut self, topic: &TopicKey, event: New, now: u64);
    fn next(&mut self, group: &GroupKey, lease: Lease, now: u64) -> Vec<Delivery>;
    fn ack(&mut self, group: &GroupKey, id: Uuid) -> bool;
    fn nack(&mut self, group: &GroupKey, id: Uuid, nack: Nack, now: u64) -> bool;
    fn read(&mut self, topic: &TopicKey, now: u64) -> Vec<Event>;
}

impl Log for EventFile {
    fn append(&mut self, topic: &TopicKey, event: New, now: u64) {
        self.append(topic, &[event], now).unwrap();
    }

    fn next(&mut self, group: &GroupKey, lease: Lease, now: u64) -> Vec<Delivery> {
        self.next(group, &lease, now).unwrap().deliveries
    }

    fn ack(&mut self, group: &GroupKey, id: Uuid) -> bool {
        self.ack(group, &[id]).unwrap() > 0
    }

    fn nack(&mut self, group: &GroupKey, id: Uuid, nack: Nack, now: u64) -> bool {
        self.nack(group, id, &nack, now).unwrap()
    }

    fn read(&mut self, topic: &TopicKey, now: u64) -> Vec<Event> {
        self.read(topic, From::Start, 1_000, now).unwrap().events
    }
}

/// Does the steps in a topic of the namespace that nobody used, and in a model.
pub(crate) fn compare(
    log: &mut impl Log,
    namespace: &Namespace,
    steps: Vec<Step>,
    retries: u32,
) -> Result<(), TestCaseError> {
    let topic = TopicKey::named(namespace, "t").unwrap();
    let group = GroupKey::named(topic.clone(), "g").unwrap();
    let (mut model, mut now) = (Model::default(), 1_000_000);
    for step in steps {
        match step {
            Step::Append(count) => {
                for _ in 0..count {
                    let event = event();
                    model.ids.push(event.id);
                    log.append(&topic, event, now);
                }
            }
            Step::Next { max, in_flight } => {
                let lease =
                    Lease { max, in_flight, ack_wait_ms: 100, retries: Some(retries), start: From::Start };
                let taken = log.next(&group, lease, now);
                let taken: Vec<_> =
                    taken.iter().map(|one| (one.event.position as usize, one.attempt)).collect();
                prop_assert_eq!(taken, model.next(max, in_flight, retries, now));
            }
            Step::Ack(which) => {
                let Some(position) = model.pending.keys().nth(which).copied() else { continue };
                model.pending.remove(&position);
                prop_assert!(log.ack(&group, model.ids[position - 1]));
                prop_assert!(!log.ack(&group, model.ids[position - 1]));
            }
            Step::Nack(which, delay_ms) => {
                let Some((position, state)) = model.pending.iter().nth(which) else { continue };
                let (position, (attempt, leased, _)) = (*position, *state);
                let nack = Nack { attempt, delay_ms, reason: "no".to_owned(), then: Then::Again };
                prop_assert_eq!(log.nack(&group, model.ids[position - 1], nack, now), leased);
                if leased && attempt > retries {
                    model.pending.remove(&position);
                    model.dead.push(position);
                } else if leased {
                    model.pending.insert(position, (attempt, false, now + delay_ms));
                }
            }
            Step::Wait(ms) => now += ms,
        }
    }
    let dead = log.read(&topic.dead().unwrap(), now);
    let dead: Vec<_> = dead.iter().map(|event| event.metadata["Micro-Dead-Position"].clone()).collect();
    prop_assert_eq!(dead, model.dead.iter().map(ToString::to_string).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_group_does_what_its_model_does(steps in prop::collection::vec(step(), 1..60), retries in 0_u32..3) {
        let namespace = "default".parse().unwrap();
        let mut file = EventFile::open(&namespace, None, 1 << 30, Arc::new(Plans::default())).unwrap();
        compare(&mut file, &namespace, steps, retries)?;
    }
}

#[test]
fn what_became_too_old_before_it_was_taken_is_counted() {
    let namespace = "default".parse().unwrap();
    let plans = Plans::new(Retention { age_ms: 1_000, ..Retention::default() });
    let mut file = EventFile::open(&namespace, None, 1 << 30, Arc::new(plans)).unwrap();
    let topic = TopicKey::named(&namespace, "t").unwrap();
    let group = GroupKey::named(topic.clone(), "g").unwrap();
    for now in [1_000_000, 1_000_500] {
        let new = New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: "p".into() };
        file.append(&topic, &[new], now).unwrap();
        let none = Lease { max: 0, ..Lease::default() };
        assert!(file.next(&group, &none, now).unwrap().deliveries.is_empty());
    }
    let taken = file.next(&group, &Lease::default(), 1_001_200).unwrap().deliveries;
    assert_eq!(taken.iter().map(|one| one.event.position).collect::<Vec<_>>(), [2]);
    assert_eq!(file.topics().unwrap()[0].lost, 1);
}

pub(crate) fn event() -> New {
    New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: "p".into() }
}

fn numbers(from: i64, to: usize) -> String {
    format!("WITH RECURSIVE n (i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM n WHERE i < {to})")
}

#[test]
fn topics_and_groups_are_bounded_and_dead_topics_count() {
    let namespace = "default".parse().unwrap();
    let mut file = EventFile::open(&namespace, None, 1 << 30, Arc::new(Plans::default())).unwrap();
    let named = |name: &str| TopicKey::named(&namespace, name).unwrap();
    let sql =
        format!("{} INSERT INTO topics SELECT 'x' || i || '.dead', 0, 0 FROM n", numbers(2, TOPICS_MAX));
    file.connection().execute(&sql, []).unwrap();
    file.append(&named("t"), &[event()], 1).unwrap();
    assert!(matches!(file.append(&named("u"), &[event()], 1), Err(Error::Topics)));
    file.append(&named("t"), &[event()], 1).unwrap();

    let group = |name: &str| GroupKey::named(named("t"), name).unwrap();
    let sql = format!("{} INSERT INTO groups SELECT 't', 'g' || i, 0, 0, 0 FROM n", numbers(2, GROUPS_MAX));
    file.connection().execute(&sql, []).unwrap();
    let lease = Lease { retries: Some(0), ..Lease::default() };
    let taken = file.next(&group("last"), &lease, 1).unwrap().deliveries;
    assert_eq!(taken.len(), 1);
    assert!(matches!(file.next(&group("more"), &lease, 1), Err(Error::Groups)));
    // A dead letter finds its place nevertheless.
    let nack = Nack { attempt: 1, delay_ms: 0, reason: "no".to_owned(), then: Then::Again };
    assert!(file.nack(&group("last"), taken[0].event.id, &nack, 1).unwrap());
    assert_eq!(file.read(&named("t.dead"), From::Start, 9, 1).unwrap().events.len(), 1);
}

#[test]
fn a_group_with_too_much_to_try_again_gets_nothing_new() {
    let namespace = "default".parse().unwrap();
    let mut file = EventFile::open(&namespace, None, 1 << 30, Arc::new(Plans::default())).unwrap();
    let topic = TopicKey::named(&namespace, "t").unwrap();
    let group = GroupKey::named(topic.clone(), "g").unwrap();
    let all: Vec<_> = (0..=PENDING_MAX).map(|_| event()).collect();
    for some in all.chunks(1_000) {
        file.append(&topic, some, 1).unwrap();
    }
    let lease = Lease { max: 9_999, in_flight: 9_999, ..Lease::default() };
    let mut refused = 0;
    loop {
        let taken = file.next(&group, &lease, 1).unwrap().deliveries;
        assert!(taken.len() <= IN_FLIGHT_MAX);
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            let nack = Nack { attempt: 1, delay_ms: 1_000, reason: String::new(), then: Then::Again };
            assert!(file.nack(&group, delivery.event.id, &nack, 1).unwrap());
            refused += 1;
        }
    }
    assert_eq!(refused, PENDING_MAX);
    assert_eq!(file.ack(&group, &[all[0].id]).unwrap(), 1);
    assert_eq!(file.next(&group, &lease, 1).unwrap().deliveries.len(), 1, "there is room again");
}
