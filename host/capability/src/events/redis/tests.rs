//! The same model as SQLite's, on a server whose clock the test sets; and what goes wrong between the events and their
//! server, with servers of the tests' own.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::super::sqlite::model::{Log as Modelled, compare, step};
use super::*;
use crate::events::{Event, Retention, faults};
use crate::line::Line;
use crate::redis::server::{self, Server as Process};
use crate::tests::{PATIENCE, eventually, ran};

const LONG_MS: u64 = 60_000;
/// The time that stands in a key, so that it passes when a test says so.
const SET_CLOCK: &str = "local now = tonumber(redis.call('GET', KEYS[1] .. 'clock'))\n";

fn config(url: impl Into<String>) -> RedisEventsConfig {
    let mut config = RedisEventsConfig::new(url);
    config.server.call_timeout = PATIENCE;
    config
}

fn topic() -> TopicKey {
    TopicKey::named(&"default".parse().unwrap(), "t").unwrap()
}

fn group() -> GroupKey {
    GroupKey::named(topic(), "g").unwrap()
}

fn event(payload: impl Into<Vec<u8>>) -> New {
    New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: payload.into().into() }
}

fn lease(max: usize, ack_wait_ms: u64) -> Lease {
    Lease { max, in_flight: max, ack_wait_ms, ..Lease::default() }
}

fn places(taken: &[Delivery]) -> Vec<(u64, u32)> {
    taken.iter().map(|one| (one.event.position, one.attempt)).collect()
}

impl Redis {
    async fn ask<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.log.server.ask(words).await
    }

    fn base(&self) -> String {
        let [base, ..] = names::keys(self.log.server.prefix(), "default");
        base
    }
}

/// A log whose clock stands until it is set.
struct Clocked {
    runtime: Runtime,
    url: String,
    redis: Arc<Redis>,
    plans: Arc<Plans>,
}

impl Clocked {
    /// None without a server.
    fn open() -> Option<Self> {
        let url = server::shared()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        let mut config = RedisEventsConfig::new(&url);
        config.server.prefix = server::prefix();
        let redis = runtime.block_on(Redis::open_with(&config, SET_CLOCK)).unwrap();
        Some(Self { runtime, url, redis, plans: config.plans })
    }

    fn at(&self, now: u64) -> &Redis {
        let clock = format!("{}clock", self.redis.base());
        self.runtime.block_on(self.redis.ask::<()>(&["SET", &clock, &now.to_string()]));
        &self.redis
    }

    fn forget_all(&self) {
        let keys: Vec<String> =
            self.runtime.block_on(self.redis.ask(&["KEYS", &format!("{}*", self.redis.base())]));
        for key in keys {
            self.runtime.block_on(self.redis.ask::<i64>(&["DEL", &key]));
        }
    }

    fn put(&self, topic: &TopicKey, events: Vec<New>, now: u64) -> Result<Vec<Appended>, Error> {
        self.runtime.block_on(self.at(now).append(topic, events))
    }

    fn take(&self, group: &GroupKey, lease: Lease, now: u64) -> Result<Vec<Delivery>, Error> {
        self.runtime.block_on(self.at(now).next(group, lease))
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.runtime.block_on(self.redis.topics(topic().namespace())).unwrap()
    }

    /// Many fields of a hash at once, as a namespace has them that did much.
    fn fill(&self, key: &str, fields: impl Iterator<Item = (String, String)>) {
        let key = format!("{}{key}", self.redis.base());
        let mut set = ::redis::cmd("HSET");
        set.arg(key);
        for (field, value) in fields {
            set.arg(field).arg(value);
        }
        self.runtime.block_on(self.redis.log.server.retried::<()>(&Call::plain(set))).unwrap();
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        self.runtime.block_on(server::remove_all(&self.url, self.redis.log.server.prefix()));
    }
}

impl Modelled for Clocked {
    fn append(&mut self, topic: &TopicKey, event: New, now: u64) {
        self.put(topic, vec![event], now).unwrap();
    }

    fn next(&mut self, group: &GroupKey, lease: Lease, now: u64) -> Vec<Delivery> {
        self.take(group, lease, now).unwrap()
    }

    fn ack(&mut self, group: &GroupKey, id: Uuid) -> bool {
        self.runtime.block_on(self.redis.ack(group, &[id])).unwrap() > 0
    }

    fn nack(&mut self, group: &GroupKey, id: Uuid, nack: Nack, now: u64) -> bool {
        self.runtime.block_on(self.at(now).nack(group, id, nack)).unwrap()
    }

    fn read(&mut self, topic: &TopicKey, now: u64) -> Vec<Event> {
        self.runtime.block_on(self.at(now).read(topic, From::Start, 1_000)).unwrap().events
    }
}

#[test]
fn a_group_does_what_its_model_does() {
    let Some(mut clocked) = Clocked::open() else { return };
    let namespace = topic().namespace().clone();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let clocked = std::cell::RefCell::new(&mut clocked);
    runner
        .run(&(vec(step(), 1..60), 0_u32..3), |(steps, retries)| {
            let mut log = clocked.borrow_mut();
            log.forget_all();
            compare(&mut **log, &namespace, steps, retries)
        })
        .unwrap();
    ran("events", "Redis");
}

#[test]
fn what_became_too_old_before_it_was_taken_is_counted() {
    let Some(clocked) = Clocked::open() else { return };
    let short = Retention { age_ms: 1_000, ..Retention::default() };
    clocked.plans.limit(HashMap::from([(topic().namespace().clone(), short)]));
    for now in [1_000_000, 1_000_500] {
        clocked.put(&topic(), vec![event("p")], now).unwrap();
        let none = Lease { max: 0, ..Lease::default() };
        assert!(clocked.take(&group(), none, now).unwrap().is_empty());
    }
    // What is too old is not shown, though it is there.
    let page = clocked.runtime.block_on(clocked.at(1_001_200).read(&topic(), From::Start, 9)).unwrap();
    assert_eq!(page.events.iter().map(|event| event.position).collect::<Vec<_>>(), [2]);
    let taken = clocked.take(&group(), Lease::default(), 1_001_200).unwrap();
    assert_eq!(places(&taken), [(2, 1)]);
    assert_eq!(clocked.topics(), [TopicInfo { topic: "t".into(), events: 1, last: 2, lost: 1 }]);
    // A clock that was set back sets no time back.
    let appended = clocked.put(&topic(), vec![event("p")], 1).unwrap();
    assert_eq!(appended[0].timestamp_ms, 1_000_500);
}

#[test]
fn topics_and_groups_are_bounded_and_a_dead_letter_finds_its_place() {
    let Some(clocked) = Clocked::open() else { return };
    let named = |name: &str| TopicKey::named(topic().namespace(), name).unwrap();
    clocked.put(&topic(), vec![event("p")], 1).unwrap();
    clocked.fill("last", (1..TOPICS_MAX).map(|number| (format!("x{number}"), "0".to_owned())));
    assert!(matches!(clocked.put(&named("u"), vec![event("p")], 1), Err(Error::Topics)));
    clocked.put(&topic(), vec![event("p")], 1).unwrap();
    clocked.fill("groups:t", (1..GROUPS_MAX).map(|number| (format!("g{number}"), "0 - 0".to_owned())));
    let group = |name: &str| GroupKey::named(topic(), name).unwrap();
    let last = group("last");
    let taken = clocked.take(&last, Lease { retries: Some(0), ..Lease::default() }, 1).unwrap();
    assert_eq!(places(&taken), [(1, 1)]);
    assert!(matches!(clocked.take(&group("more"), Lease::default(), 1), Err(Error::Groups)));
    let nack = Nack { attempt: 1, delay_ms: 0, reason: "\"no\"\n".to_owned(), then: Then::Again };
    assert!(clocked.runtime.block_on(clocked.redis.nack(&last, taken[0].event.id, nack)).unwrap());
    let dead = clocked.runtime.block_on(clocked.redis.read(&named("t.dead"), From::Start, 9)).unwrap();
    assert_eq!(dead.events[0].metadata["Micro-Dead-Reason"], "\"no\"\n");
    assert_eq!(dead.events[0].metadata["Micro-Dead-Id"], taken[0].event.id.to_string());
}

#[test]
fn a_group_with_too_much_to_try_again_gets_nothing_new() {
    let Some(clocked) = Clocked::open() else { return };
    let all: Vec<_> = (0..=PENDING_MAX).map(|_| event("p")).collect();
    for some in all.chunks(1_000) {
        clocked.put(&topic(), some.to_vec(), 1).unwrap();
    }
    let mut refused = 0;
    loop {
        let taken = clocked.take(&group(), lease(9_999, LONG_MS), 1).unwrap();
        assert!(taken.len() <= IN_FLIGHT_MAX);
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            let nack = Nack { attempt: 1, delay_ms: 1_000, reason: String::new(), then: Then::Again };
            assert!(clocked.runtime.block_on(clocked.redis.nack(&group(), delivery.event.id, nack)).unwrap());
            refused += 1;
        }
    }
    assert_eq!(refused, PENDING_MAX);
    assert_eq!(clocked.runtime.block_on(clocked.redis.ack(&group(), &[all[0].id])).unwrap(), 1);
    assert_eq!(clocked.take(&group(), lease(9_999, LONG_MS), 1).unwrap().len(), 1, "there is room again");
}

#[test]
fn a_group_without_a_name_goes_when_nobody_asks() {
    let Some(clocked) = Clocked::open() else { return };
    clocked.put(&topic(), vec![event("p")], 1_000_000).unwrap();
    let ephemeral = GroupKey::named(topic(), "").unwrap();
    for key in [&ephemeral, &group()] {
        assert_eq!(places(&clocked.take(key, lease(1, 1), 1_000_000).unwrap()), [(1, 1)]);
    }
    let groups = || {
        clocked.runtime.block_on(clocked.redis.log.sweep()).unwrap();
        let groups = clocked.runtime.block_on(clocked.redis.groups(&topic())).unwrap();
        groups.into_iter().map(|group| group.group).collect::<Vec<_>>()
    };
    clocked.take(&ephemeral, lease(1, 1), 1_500_000).unwrap();
    clocked.at(1_500_000 + 599_000);
    assert_eq!(groups(), ["g", ephemeral.group()]);
    clocked.at(1_500_000 + 601_000);
    assert_eq!(groups(), ["g"]);
    let keys = format!("{}pending:*", clocked.redis.base());
    let pending: Vec<String> = clocked.runtime.block_on(clocked.redis.ask(&["KEYS", &keys]));
    assert_eq!(pending.len(), 1, "{pending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call_and_appends_and_delivers_nothing_twice() {
    let Some(process) = Process::start(&[]) else { return };
    let line = Line::to(process.address()).await;
    let redis = Redis::open(&config(format!("redis://{}", line.address))).await.unwrap();
    for number in 1..=30 {
        line.cut();
        let one = event("e");
        assert_eq!(redis.append(&topic(), vec![one.clone()]).await.unwrap()[0].position, number);
        line.cut();
        // Were it not known by its call, what was taken and not answered would be in flight for a minute.
        let taken = redis.next(&group(), lease(1, LONG_MS)).await.unwrap();
        assert_eq!(places(&taken), [(number, 1)]);
        line.cut();
        // None: the answer of one that was done was cut off.
        let _ = redis.ack(&group(), &[one.id]).await.unwrap();
        assert_eq!(redis.ack(&group(), &[one.id]).await.unwrap(), 0);
    }
    assert_eq!(redis.topics(topic().namespace()).await.unwrap()[0].events, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_told_in_time_and_all_goes_on_after_it() {
    let Some(process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.server.call_timeout = Duration::from_millis(700);
    let redis = Redis::open(&config).await.unwrap();
    let one = event("e");
    redis.append(&topic(), vec![one.clone()]).await.unwrap();
    process.stall();
    let since = Instant::now();
    assert!(matches!(redis.append(&topic(), vec![event("f")]).await, Err(Error::Backend(_))));
    assert!(redis.check().await.is_err(), "the node says that its events are away");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    process.go_on();
    eventually("it recovers", async || redis.check().await.is_ok()).await;
    let again = redis.append(&topic(), vec![one.clone()]).await.unwrap();
    assert_eq!(again[0].position, 1, "the same event");
    assert_eq!(places(&redis.next(&group(), lease(1, LONG_MS)).await.unwrap()), [(1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_two_seconds_costs_two_seconds() {
    let Some(process) = Process::start(&[]) else { return };
    let redis = Redis::open(&config(process.url())).await.unwrap();
    faults::a_stall_costs_its_time(redis, || process.stall(), || process.go_on()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_was_acknowledged() {
    let Some(mut process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.server.call_timeout = Duration::from_secs(5);
    let redis = Redis::open(&config).await.unwrap();
    faults::nothing_acknowledged_is_lost(&mut process, redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_is_still_consumed() {
    let Some(process) = Process::start(&[]) else { return };
    let redis = Redis::open(&config(process.url())).await.unwrap();
    let events = [event("e"), event("f")];
    redis.append(&topic(), events.to_vec()).await.unwrap();
    // Less than it uses already.
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1kb"]).await;
    assert!(matches!(redis.append(&topic(), vec![event("g")]).await, Err(Error::Full)));
    let strict = Lease { retries: Some(0), ..lease(2, LONG_MS) };
    assert_eq!(places(&redis.next(&group(), strict).await.unwrap()), [(1, 1), (2, 1)]);
    assert_eq!(redis.ack(&group(), &[events[0].id]).await.unwrap(), 1);
    let nack = Nack { attempt: 1, delay_ms: 0, reason: "no".to_owned(), then: Then::Again };
    assert!(redis.nack(&group(), events[1].id, nack).await.unwrap());
    assert_eq!(redis.read(&topic().dead().unwrap(), From::Start, 9).await.unwrap().events.len(), 1);
    let none = Retention { age_ms: 0, bytes: 0 };
    redis.log.plans.limit(HashMap::from([(topic().namespace().clone(), none)]));
    redis.log.trim(topic().namespace(), 9).await.unwrap();
    let left = redis.topics(topic().namespace()).await.unwrap();
    assert!(left.iter().all(|topic| topic.events == 0), "{left:?}");
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    redis.log.plans.limit(HashMap::new());
    assert_eq!(redis.append(&topic(), vec![event("g")]).await.unwrap()[0].position, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_took_that_died_is_due_again() {
    let Some(process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.node_lease = Duration::from_secs(3);
    let (dies, lives) = (Redis::open(&config).await.unwrap(), Redis::open(&config).await.unwrap());
    let events = [event("e"), event("f")];
    dies.append(&topic(), events.to_vec()).await.unwrap();
    let hour = 3_600_000;
    assert_eq!(places(&lives.next(&group(), lease(1, hour)).await.unwrap()), [(1, 1)]);
    let taken = dies.next(&group(), lease(2, hour)).await.unwrap();
    assert_eq!(places(&taken), [(2, 1)]);
    // A node that lives keeps what it took, also for longer than its lease.
    tokio::time::sleep(config.node_lease * 3 / 2).await;
    assert_eq!(places(&lives.next(&group(), lease(9, hour)).await.unwrap()), []);
    drop(dies);
    let again = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    eventually("it is due again", async || {
        let taken = lives.next(&group(), lease(9, hour)).await.unwrap();
        *again.lock().await = places(&taken);
        !taken.is_empty()
    })
    .await;
    assert_eq!(*again.lock().await, [(2, 2)], "only what the dead one had");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_at_one_node_rings_at_the_other() {
    let Some(process) = Process::start(&[]) else { return };
    let (one, other) = (
        Redis::open(&config(process.url())).await.unwrap(),
        Redis::open(&config(process.url())).await.unwrap(),
    );
    let mut bell = other.bell(&topic());
    for _ in 0..5 {
        // Rings also when it begins to listen again, as after this.
        one.ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        one.append(&topic(), vec![event("e")]).await.unwrap();
        tokio::time::timeout(PATIENCE, bell.changed()).await.expect("it rings").unwrap();
        bell.borrow_and_update();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_rights_suffice() {
    let rights = "resetchannels &micro:events:told -@all +ping +info +evalsha +script|load +time +set +exists +del \
                  +hget +hset +hdel +hlen +hgetall +hincrby +xadd +xrange +xtrim +rpush +lpop +lindex +sadd +sscan \
                  +zadd +zrem +zrangebyscore +publish +subscribe";
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    let user = format!("user events on >secret ~micro:events:* {rights}");
    std::fs::write(&users, format!("user default on >other ~* &* +@all\n{user}\n")).unwrap();
    let Some(process) = Process::start(&["--aclfile", &users.display().to_string()]) else { return };
    let config = config(format!("redis://events:secret@{}", process.address()));
    assert!(!format!("{config:?}").contains("secret"));
    let (redis, other) = (Redis::open(&config).await.unwrap(), Redis::open(&config).await.unwrap());
    let mut bell = other.bell(&topic());
    let ephemeral = GroupKey::named(topic(), "").unwrap();
    redis.append(&topic(), vec![event("e"), event("f")]).await.unwrap();
    tokio::time::timeout(PATIENCE, bell.changed()).await.expect("it rings").unwrap();
    for key in [&ephemeral, &group()] {
        let taken = other.next(key, lease(2, LONG_MS)).await.unwrap();
        assert_eq!(redis.ack(key, &[taken[0].event.id]).await.unwrap(), 1);
        let nack = Nack { attempt: 1, delay_ms: 0, reason: "no".to_owned(), then: Then::Dead };
        assert!(redis.nack(key, taken[1].event.id, nack).await.unwrap());
    }
    assert_eq!(redis.read(&topic(), From::Since(1), 9).await.unwrap().events.len(), 2);
    assert_eq!(redis.groups(&topic()).await.unwrap().len(), 2);
    redis.log.plans.limit(HashMap::from([(topic().namespace().clone(), Retention { age_ms: 0, bytes: 0 })]));
    redis.log.sweep().await.unwrap();
    assert_eq!(redis.topics(topic().namespace()).await.unwrap()[0].events, 0);
    redis.now_ms().await.unwrap();
    redis.check().await.unwrap();
}
