//! Each broker against a model that is too simple to be wrong: random publish, claim, ack, nack, bury, redrive and time.
//! `PROPTEST_CASES` sets how many runs there are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use futures::FutureExt;
use micro_api::name::Namespace;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::contract::message;
use super::*;
use crate::redis::server;
use crate::tests::ran;

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
    backend: Arc<dyn Backend>,
    /// Where the backend is: nothing waits in memory.
    redis: Option<OnRedis>,
    keys: [GroupKey; 2],
    models: [Model; 2],
    /// Every claim that was ever made, so that late answers are tried too.
    claims: Vec<(usize, Token, u64)>,
    published: u64,
}

/// A clock of the test's own on the server.
struct OnRedis {
    runtime: Arc<Runtime>,
    connection: MultiplexedConnection,
    url: String,
    prefix: String,
}

impl OnRedis {
    const CLOCK: &str = "local now = tonumber(redis.call('GET', KEYS[1] .. '-clock'))\n";

    fn set(&mut self, now: u64) {
        let mut set = ::redis::cmd("SET");
        set.arg(format!("{}:broker:all-clock", self.prefix)).arg(now);
        self.runtime.block_on(set.query_async::<()>(&mut self.connection)).unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(redis) = &self.redis {
            redis.runtime.block_on(server::remove_all(&redis.url, &redis.prefix));
        }
    }
}

fn bounds() -> MemoryConfig {
    MemoryConfig { group_messages_max: MESSAGES_MAX, group_dead_max: DEAD_MAX, ..MemoryConfig::default() }
}

impl Run {
    fn in_memory() -> Self {
        let now = Arc::new(AtomicU64::new(1));
        let clock = Arc::clone(&now);
        let backend = Memory::with_clock(bounds(), Arc::new(move || clock.load(Relaxed)));
        Self::new(now, Arc::new(backend), None)
    }

    fn on_redis(url: &str, runtime: &Arc<Runtime>) -> Self {
        let mut config = RedisBrokerConfig { bounds: bounds(), ..RedisBrokerConfig::new(url) };
        config.server.prefix = server::prefix();
        let client = ::redis::Client::open(url).unwrap();
        let connection = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        let (prefix, url) = (config.server.prefix.clone(), url.to_owned());
        let mut redis = OnRedis { runtime: Arc::clone(runtime), connection, url, prefix };
        redis.set(1);
        let backend = runtime.block_on(Redis::open_by(&config, OnRedis::CLOCK)).unwrap();
        Self::new(Arc::new(AtomicU64::new(1)), backend, Some(redis))
    }

    fn new(now: Arc<AtomicU64>, backend: Arc<dyn Backend>, redis: Option<OnRedis>) -> Self {
        let topic = TopicKey::new(&Namespace::default(), "t").unwrap();
        let keys =
            ["a", "b"].map(|queue| GroupKey { topic: topic.clone(), group: Group::Queue(queue.into()) });
        let run =
            Self { now, backend, redis, keys, models: Default::default(), claims: Vec::new(), published: 0 };
        for key in &run.keys {
            run.wait(run.backend.subscribe(key)).unwrap();
        }
        run
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.redis {
            Some(redis) => redis.runtime.block_on(future),
            None => future.now_or_never().expect("it waits"),
        }
    }

    fn advance(&mut self, ms: u64) {
        let now = self.now.fetch_add(ms, Relaxed) + ms;
        if let Some(redis) = &mut self.redis {
            redis.set(now);
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now.load(Relaxed);
        match step {
            Step::Publish => self.publish(now),
            Step::Claim { group, max } => self.claim(group, max, now),
            Step::Ack(which) => self.settle(
                which,
                now,
                async |backend, key, token| Ok(backend.ack(key, &[token]).await? > 0),
                |model, _| {
                    model.delivered += 1;
                },
            ),
            Step::Nack { which, delay } => self.settle(
                which,
                now,
                async |backend, key, token| backend.nack(key, token, Duration::from_millis(delay)).await,
                |model, kept| {
                    model.failed += 1;
                    model.kept.push(Kept { due: now + delay, lease: None, ..kept });
                },
            ),
            Step::Bury { which, keep } => self.settle(
                which,
                now,
                async |backend, key, token| backend.bury(key, token, "no", keep).await,
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
            Step::Advance(ms) => self.advance(ms),
        }
        self.compare();
    }

    fn publish(&mut self, now: u64) {
        let sent = self.wait(self.backend.publish(&self.keys[0].topic, message(self.published.to_string())));
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
        let claimed = self.wait(self.backend.claim(&self.keys[group], claim)).unwrap();
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
        act: impl AsyncFn(&dyn Backend, &GroupKey, Token) -> Result<bool, Error>,
        then: impl FnOnce(&mut Model, Kept),
    ) {
        let Some(&(group, token, _)) = self.claims.get(which % self.claims.len().max(1)) else { return };
        let done = self.wait(act(&*self.backend, &self.keys[group], token)).unwrap();
        let model = &mut self.models[group];
        model.expire(now);
        let kept = model.take(token);
        assert_eq!(done, kept.is_some());
        if let Some(kept) = kept {
            then(model, kept);
        }
    }

    fn redrive(&mut self, now: u64) {
        let moved = self.wait(self.backend.redrive(&Namespace::default(), &Filter::default())).unwrap();
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
        let dead = self.wait(self.backend.dead(&namespace, &Filter::default(), 99)).unwrap();
        let Some(chosen) = dead.get(which % dead.len().max(1)) else { return };
        let (id, body) = (chosen.message.id.clone(), chosen.message.body.clone());
        let gone =
            self.wait(self.backend.discard(&namespace, &Filter { ids: vec![id], ..Filter::default() }));
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
        let states = self.wait(self.backend.groups(&Namespace::default())).unwrap();
        let dead = self.wait(self.backend.dead(&Namespace::default(), &Filter::default(), 99)).unwrap();
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

fn hold_against_the_model(cases: u32, start: impl Fn() -> Run) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: asked.unwrap_or(cases), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..80), |steps| {
        let mut run = start();
        for step in steps {
            run.step(step);
        }
        // In the end every message that is left can be claimed: none is lost, none is there twice.
        run.advance(1_000);
        for group in 0..2 {
            run.claim(group, 99, run.now.load(Relaxed));
            let model = &run.models[group];
            prop_assert!(model.kept.iter().all(|kept| kept.lease.is_some()));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn it_does_what_the_model_does() {
    hold_against_the_model(256, Run::in_memory);
    ran("broker", "memory");
    let Some(url) = server::shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let runtime = Arc::new(runtime);
    hold_against_the_model(16, || Run::on_redis(&url, &runtime));
    ran("broker", "Redis");
}
