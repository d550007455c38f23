//! The same model as SQLite's, on a server whose clock the test sets.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::super::sqlite::model::{Log, compare, event, step};
use super::*;
use crate::events::{Event, Plans, Retention};

/// A schema whose clock stands until it is set.
struct Clocked {
    log: Arc<Postgres>,
    schema: String,
    plans: Arc<Plans>,
    // Last: the log ends within it.
    runtime: Runtime,
}

impl Clocked {
    /// None without a server.
    fn open() -> Option<Self> {
        let url = std::env::var("MICRO_TEST_POSTGRES").ok()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        let schema = format!("events_{}", Uuid::new_v4().simple());
        let config = PostgresConfig { schema: schema.clone(), ..PostgresConfig::new(url) };
        let log = runtime.block_on(Postgres::open(&config)).unwrap();
        let clocked = Self { log, schema, plans: config.plans, runtime };
        clocked.run(
            "CREATE TABLE clock (ms BIGINT NOT NULL);
             INSERT INTO clock VALUES (1000000);
             CREATE OR REPLACE FUNCTION now_ms() RETURNS BIGINT LANGUAGE SQL VOLATILE AS 'SELECT ms FROM clock'",
        );
        Some(clocked)
    }

    fn run(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        self.runtime.block_on(sqlx::raw_sql(sql).execute(&self.log.server.pool)).unwrap();
    }

    fn at(&self, now: u64) -> &Postgres {
        self.run(&format!("UPDATE clock SET ms = {now} WHERE ms <> {now}"));
        &self.log
    }

    fn take(&self, group: &GroupKey, lease: Lease, now: u64) -> Result<Vec<Delivery>, Error> {
        self.runtime.block_on(self.at(now).next(group, lease))
    }

    fn put(&self, topic: &TopicKey, events: Vec<New>, now: u64) -> Result<Vec<Appended>, Error> {
        self.runtime.block_on(self.at(now).append(topic, events))
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.runtime.block_on(self.log.topics(&"default".parse().unwrap())).unwrap()
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA {} CASCADE", self.schema));
    }
}

impl Log for Clocked {
    fn append(&mut self, topic: &TopicKey, event: New, now: u64) {
        self.put(topic, vec![event], now).unwrap();
    }

    fn next(&mut self, group: &GroupKey, lease: Lease, now: u64) -> Vec<Delivery> {
        self.take(group, lease, now).unwrap()
    }

    fn ack(&mut self, group: &GroupKey, id: Uuid) -> bool {
        self.runtime.block_on(self.log.ack(group, &[id])).unwrap() > 0
    }

    fn nack(&mut self, group: &GroupKey, id: Uuid, nack: Nack, now: u64) -> bool {
        self.runtime.block_on(self.at(now).nack(group, id, nack)).unwrap()
    }

    fn read(&mut self, topic: &TopicKey, now: u64) -> Vec<Event> {
        self.runtime.block_on(self.at(now).read(topic, From::Start, 1_000)).unwrap().events
    }
}

fn topic(name: &str) -> TopicKey {
    TopicKey::named(&"default".parse().unwrap(), name).unwrap()
}

fn group(name: &str) -> GroupKey {
    GroupKey::named(topic("t"), name).unwrap()
}

#[test]
fn a_group_does_what_its_model_does() {
    let Some(log) = Clocked::open() else { return };
    let (log, cases) = (RefCell::new(log), RefCell::new(0));
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let steps = (vec(step(), 1..60), 0_u32..3);
    let checked = TestRunner::new(config).run(&steps, |(steps, retries)| {
        *cases.borrow_mut() += 1;
        let namespace = format!("case-{}", cases.borrow()).parse().unwrap();
        compare(&mut *log.borrow_mut(), &namespace, steps, retries)
    });
    checked.unwrap();
}

#[test]
fn what_became_too_old_before_it_was_taken_is_counted() {
    let Some(log) = Clocked::open() else { return };
    let keep = Retention { age_ms: 1_000, ..Retention::default() };
    log.plans.limit(HashMap::from([(topic("t").namespace().clone(), keep)]));
    for now in [1_000_000, 1_000_500] {
        log.put(&topic("t"), vec![event()], now).unwrap();
        assert!(log.take(&group("g"), Lease { max: 0, ..Lease::default() }, now).unwrap().is_empty());
    }
    let taken = log.take(&group("g"), Lease::default(), 1_001_200).unwrap();
    assert_eq!(taken.iter().map(|one| one.event.position).collect::<Vec<_>>(), [2]);
    let after = TopicInfo { topic: "t".into(), events: 1, last: 2, lost: 1 };
    assert_eq!(log.topics(), [after]);
}

#[test]
fn topics_and_groups_are_bounded_and_dead_topics_count() {
    let Some(log) = Clocked::open() else { return };
    let made = TOPICS_MAX - 1;
    log.run(&format!(
        "INSERT INTO topics (namespace, topic) SELECT 'default', 'x' || i || '.dead' FROM generate_series(1, {made}) i;
         INSERT INTO gates SELECT namespace, topic FROM topics;
         INSERT INTO namespaces VALUES ('default', {made})"
    ));
    let put = |name: &str| log.put(&topic(name), vec![event()], 1);
    put("t").unwrap();
    assert!(matches!(put("u"), Err(Error::Topics)));
    put("t").unwrap();
    assert_eq!(log.topics().len(), TOPICS_MAX, "what was refused left nothing");
    log.run(&format!(
        "INSERT INTO groups SELECT 'default', 't', 'g' || i, 0, NULL, 0 FROM generate_series(2, {GROUPS_MAX}) i"
    ));
    let lease = Lease { retries: Some(0), ..Lease::default() };
    let taken = log.take(&group("last"), lease, 1).unwrap();
    assert_eq!(taken.len(), 1);
    assert!(matches!(log.take(&group("more"), lease, 1), Err(Error::Groups)));
    // A dead letter finds its place nevertheless.
    let reason = "no\0, \"never\" \\ again".to_owned();
    let nack = Nack { attempt: 1, delay_ms: 0, reason, then: Then::Again };
    assert!(log.runtime.block_on(log.log.nack(&group("last"), taken[0].event.id, nack)).unwrap());
    let dead = log.runtime.block_on(log.log.read(&topic("t.dead"), From::Start, 9)).unwrap().events;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].metadata["Micro-Dead-Reason"], "no , \"never\" \\ again");
    assert_eq!(dead[0].metadata["Micro-Dead-Id"], taken[0].event.id.to_string());
}

#[test]
fn a_group_with_too_much_to_try_again_gets_nothing_new() {
    let Some(log) = Clocked::open() else { return };
    let all: Vec<_> = (0..=PENDING_MAX).map(|_| event()).collect();
    for some in all.chunks(1_000) {
        log.put(&topic("t"), some.to_vec(), 1).unwrap();
    }
    let lease = Lease { max: 9_999, in_flight: 9_999, ..Lease::default() };
    let mut refused = 0;
    loop {
        let taken = log.take(&group("g"), lease, 1).unwrap();
        assert!(taken.len() <= IN_FLIGHT_MAX);
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            let nack = Nack { attempt: 1, delay_ms: 1_000, reason: String::new(), then: Then::Again };
            assert!(log.runtime.block_on(log.log.nack(&group("g"), delivery.event.id, nack)).unwrap());
            refused += 1;
        }
    }
    assert_eq!(refused, PENDING_MAX);
    assert_eq!(log.runtime.block_on(log.log.ack(&group("g"), &[all[0].id])).unwrap(), 1);
    assert_eq!(log.take(&group("g"), lease, 1).unwrap().len(), 1, "there is room again");
}

#[test]
fn an_ephemeral_group_that_nobody_asks_for_is_forgotten() {
    let Some(log) = Clocked::open() else { return };
    log.put(&topic("t"), vec![event()], 1_000_000).unwrap();
    let (short, kept) = (group(""), group("kept"));
    for group in [&short, &kept] {
        assert_eq!(log.take(group, Lease::default(), 1_000_000).unwrap().len(), 1);
    }
    let names = |now: u64| {
        log.at(now);
        log.runtime.block_on(log.log.keeper.sweep()).unwrap();
        let groups = log.runtime.block_on(log.log.groups(&topic("t"))).unwrap();
        groups.into_iter().map(|group| group.group).collect::<Vec<_>>()
    };
    assert_eq!(names(1_600_000), ["kept", short.group()]);
    assert_eq!(names(1_600_001), ["kept"]);
    let again = log.take(&short, Lease::default(), 1_600_001).unwrap();
    assert_eq!(again[0].attempt, 1, "it begins anew");
}
