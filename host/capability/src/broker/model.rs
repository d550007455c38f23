//! The broker in memory against a model that is too simple to be wrong: random publish, claim, ack, nack, bury, redrive
//! and time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::FutureExt;
use micro_api::name::Namespace;
use proptest::prelude::*;

use super::contract::message;
use super::*;

const MESSAGES_MAX: usize = 5;
const DEAD_MAX: usize = 3;
const LEASE_MS: u64 = 100;

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Claim { group: usize, max: usize },
    Ack(usize),
    Nack { which: usize, delay: u64 },
    Bury { which: usize, keep: bool },
    Redrive,
    Discard { which: usize },
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        4 => (0..2_usize, 1..4_usize).prop_map(|(group, max)| Step::Claim { group, max }),
        3 => any::<usize>().prop_map(Step::Ack),
        3 => (any::<usize>(), 0..150_u64).prop_map(|(which, delay)| Step::Nack { which, delay }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, keep)| Step::Bury { which, keep }),
        1 => Just(Step::Redrive),
        1 => any::<usize>().prop_map(|which| Step::Discard { which }),
        3 => (1..120_u64).prop_map(Step::Advance),
    ]
}

/// A message of the model: its number, its attempts, and from when on it can be claimed.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    number: u64,
    attempts: u32,
    due: u64,
    lease: Option<(Token, u64)>,
}

#[derive(Debug, Default)]
struct Model {
    kept: Vec<Kept>,
    dead: VecDeque<u64>,
    dropped: u64,
    delivered: u64,
    failed: u64,
}

impl Model {
    fn expire(&mut self, now: u64) {
        for kept in &mut self.kept {
            if kept.lease.is_some_and(|(_, until)| until <= now) {
                kept.lease = None;
                kept.due = now;
                self.failed += 1;
            }
        }
    }

    fn claimable(&self, now: u64) -> usize {
        self.kept.iter().filter(|kept| kept.lease.is_none() && kept.due <= now).count()
    }

    /// Takes the message with this lease out.
    fn take(&mut self, token: Token) -> Option<Kept> {
        let at = self.kept.iter().position(|kept| kept.lease.is_some_and(|(own, _)| own == token))?;
        Some(self.kept.remove(at))
    }
}

struct Run {
    now: Arc<AtomicU64>,
    backend: Memory,
    keys: [GroupKey; 2],
    models: [Model; 2],
    /// Every claim that was ever made, so that late answers are tried too.
    claims: Vec<(usize, Token, u64)>,
    published: u64,
}

impl Run {
    fn new() -> Self {
        let now = Arc::new(AtomicU64::new(1));
        let clock = Arc::clone(&now);
        let config = MemoryConfig {
            group_messages_max: MESSAGES_MAX,
            group_dead_max: DEAD_MAX,
            ..MemoryConfig::default()
        };
        let backend = Memory::with_clock(config, Arc::new(move || clock.load(Relaxed)));
        let topic = TopicKey::new(&Namespace::default(), "t").unwrap();
        let keys =
            ["a", "b"].map(|queue| GroupKey { topic: topic.clone(), group: Group::Queue(queue.into()) });
        for key in &keys {
            ready(backend.subscribe(key)).unwrap();
        }
        Self { now, backend, keys, models: Default::default(), claims: Vec::new(), published: 0 }
    }

    fn step(&mut self, step: Step) {
        let now = self.now.load(Relaxed);
        match step {
            Step::Publish => self.publish(now),
            Step::Claim { group, max } => self.claim(group, max, now),
            Step::Ack(which) => self.settle(
                which,
                now,
                |backend, key, token| ready(backend.ack(key, token)),
                |model, _| {
                    model.delivered += 1;
                },
            ),
            Step::Nack { which, delay } => self.settle(
                which,
                now,
                |backend, key, token| ready(backend.nack(key, token, Duration::from_millis(delay))),
                |model, kept| {
                    model.failed += 1;
                    model.kept.push(Kept { due: now + delay, lease: None, ..kept });
                },
            ),
            Step::Bury { which, keep } => self.settle(
                which,
                now,
                |backend, key, token| ready(backend.bury(key, token, "no", keep)),
                |model, kept| {
                    model.failed += 1;
                    if keep {
                        model.dead.push_back(kept.number);
                    }
                    let over = model.dead.len() > DEAD_MAX;
                    if over {
                        model.dead.pop_front();
                    }
                    model.dropped += u64::from(!keep || over);
                },
            ),
            Step::Redrive => self.redrive(now),
            Step::Discard { which } => self.discard(which),
            Step::Advance(ms) => drop(self.now.fetch_add(ms, Relaxed)),
        }
        self.compare();
    }

    fn publish(&mut self, now: u64) {
        let sent = ready(self.backend.publish(&self.keys[0].topic, message(self.published.to_string())));
        let full = self.models.iter().any(|model| model.kept.len() >= MESSAGES_MAX);
        assert_eq!(sent.is_ok(), !full, "{sent:?}");
        if !full {
            for model in &mut self.models {
                model.kept.push(Kept { number: self.published, attempts: 0, due: now, lease: None });
            }
        }
        self.published += 1;
    }

    fn claim(&mut self, group: usize, max: usize, now: u64) {
        let claim = Claim { max, lease: Duration::from_millis(LEASE_MS), wait: Duration::ZERO };
        let claimed = ready(self.backend.claim(&self.keys[group], claim)).unwrap();
        let model = &mut self.models[group];
        model.expire(now);
        assert_eq!(claimed.len(), max.min(model.claimable(now)));
        for claimed in claimed {
            let number: u64 = std::str::from_utf8(&claimed.message.body).unwrap().parse().unwrap();
            let kept = model.kept.iter_mut().find(|kept| kept.number == number).unwrap();
            assert!(kept.lease.is_none() && kept.due <= now, "{kept:?} at {now}");
            kept.attempts += 1;
            assert_eq!(claimed.attempt, kept.attempts);
            kept.lease = Some((claimed.token, now + LEASE_MS));
            self.claims.push((group, claimed.token, number));
        }
    }

    /// Settles one of the claims, old ones too: only a lease that lasts counts.
    fn settle(
        &mut self,
        which: usize,
        now: u64,
        act: impl Fn(&Memory, &GroupKey, Token) -> Result<bool, Error>,
        then: impl FnOnce(&mut Model, Kept),
    ) {
        let Some(&(group, token, _)) = self.claims.get(which % self.claims.len().max(1)) else { return };
        let done = act(&self.backend, &self.keys[group], token).unwrap();
        let model = &mut self.models[group];
        model.expire(now);
        let kept = model.take(token);
        assert_eq!(done, kept.is_some());
        if let Some(kept) = kept {
            then(model, kept);
        }
    }

    fn redrive(&mut self, now: u64) {
        let moved = ready(self.backend.redrive(&Namespace::default(), &Filter::default())).unwrap();
        let mut expected = 0;
        for model in &mut self.models {
            while model.kept.len() < MESSAGES_MAX
                && let Some(number) = model.dead.pop_front()
            {
                model.kept.push(Kept { number, attempts: 0, due: now, lease: None });
                expected += 1;
            }
        }
        assert_eq!(moved, expected);
    }

    fn discard(&mut self, which: usize) {
        let namespace = Namespace::default();
        let dead = ready(self.backend.dead(&namespace, &Filter::default(), 99)).unwrap();
        let Some(chosen) = dead.get(which % dead.len().max(1)) else { return };
        let (id, body) = (chosen.message.id.clone(), chosen.message.body.clone());
        let gone = ready(self.backend.discard(&namespace, &Filter { ids: vec![id], ..Filter::default() }));
        let number: u64 = std::str::from_utf8(&body).unwrap().parse().unwrap();
        let mut expected = 0;
        for model in &mut self.models {
            let before = model.dead.len();
            model.dead.retain(|own| *own != number);
            expected += (before - model.dead.len()) as u64;
        }
        assert_eq!(gone, Ok(expected));
    }

    fn compare(&mut self) {
        let now = self.now.load(Relaxed);
        let states = ready(self.backend.groups(&Namespace::default())).unwrap();
        let dead = ready(self.backend.dead(&Namespace::default(), &Filter::default(), 99)).unwrap();
        for ((key, model), state) in self.keys.iter().zip(&mut self.models).zip(states) {
            model.expire(now);
            let leased = model.kept.iter().filter(|kept| kept.lease.is_some()).count();
            assert_eq!(state.in_flight, leased as u64);
            assert_eq!(state.waiting, (model.kept.len() - leased) as u64);
            assert_eq!(state.bytes == 0, model.kept.is_empty());
            assert_eq!((state.dead, state.dropped), (model.dead.len() as u64, model.dropped));
            assert_eq!((state.delivered, state.failed), (model.delivered, model.failed));
            let own = dead.iter().filter(|dead| dead.group == *key).map(|dead| dead.message.body.clone());
            assert_eq!(own.collect::<Vec<_>>(), model.dead.iter().map(u64::to_string).collect::<Vec<_>>());
        }
    }
}

/// Nothing here waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        // In the end every message that is left can be claimed: none is lost, none is there twice.
        run.now.fetch_add(1_000, Relaxed);
        for group in 0..2 {
            run.claim(group, 99, run.now.load(Relaxed));
            let model = &run.models[group];
            prop_assert!(model.kept.iter().all(|kept| kept.lease.is_some()));
        }
    }
}
