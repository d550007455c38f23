//! What goes wrong between the locks and their server, with servers of the tests' own.

use super::super::contract::{claim, key};
use super::super::faults;
use super::super::model::Timed;
use super::*;
use crate::line::Line;
use crate::redis::server::Server as Process;
use crate::tests::{PATIENCE, eventually};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);
/// A poll that no test sees: what happens before it was not the poll's work.
const NEVER: Duration = Duration::from_secs(3_600);

fn config(url: impl Into<String>) -> RedisSyncConfig {
    let mut config = RedisSyncConfig::new(url);
    config.server.call_timeout = PATIENCE;
    config
}

async fn open(process: &Process, poll: Duration) -> Arc<Redis> {
    let config = RedisSyncConfig { poll, ..config(process.url()) };
    Redis::open(&config).await.unwrap()
}

impl Redis {
    async fn ask<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.locks.server.ask(words).await
    }

    fn names(&self) -> [String; 3] {
        names::keys(self.locks.server.prefix(), key("a").namespace())
    }

    /// Loses a namespace with everything in it.
    pub(in super::super) async fn forget(&self, namespace: &str) {
        let [locks, expiries, fence] = names::keys(self.locks.server.prefix(), &namespace.parse().unwrap());
        self.ask::<i64>(&["DEL", &locks, &expiries, &fence]).await;
    }

    /// Waits for a lock elsewhere, until it stands in the queue.
    async fn wait_for(self: &Arc<Self>, name: &'static str) -> tokio::task::JoinHandle<Result<Lock, Error>> {
        let redis = Arc::clone(self);
        let waiter = tokio::spawn(async move { redis.acquire(&key(name), claim(LONG, PATIENCE)).await });
        eventually("it waits", async || self.queues.len() > 0).await;
        waiter
    }
}

#[async_trait]
impl Timed for Redis {
    const UNIT: Duration = Duration::from_secs(60);

    fn backend(&self) -> &dyn Backend {
        self
    }

    /// All that expires does so that much earlier.
    async fn pass(&self, time: Duration) {
        let [_, expiries, _] = self.names();
        let all: Vec<(String, u64)> = self.ask(&["ZRANGE", &expiries, "0", "-1", "WITHSCORES"]).await;
        for (lock, at) in all {
            let at = at - u64::try_from(time.as_millis()).unwrap();
            self.ask::<i64>(&["ZADD", &expiries, &at.to_string(), &lock]).await;
        }
    }

    async fn check_kept(&self, held: usize) {
        let [locks, expiries, _] = self.names();
        let now: (u64, u64) = self.ask(&["TIME"]).await;
        let from = format!("({}", now.0 * 1_000 + now.1 / 1_000);
        assert_eq!(self.ask::<usize>(&["ZCOUNT", &expiries, &from, "+inf"]).await, held);
        let kept: (usize, usize) = (self.ask(&["HLEN", &locks]).await, self.ask(&["ZCARD", &expiries]).await);
        assert_eq!(kept.0, kept.1, "each lock has its end");
        if kept.0 > 0 {
            for key in [locks, expiries] {
                let left: i64 = self.ask(&["PTTL", &key]).await;
                assert!(left > 0, "{key} goes by itself: {left}");
            }
        }
        assert_eq!(self.queues.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_costs_no_call_and_no_lock() {
    let Some(process) = Process::start(&[]) else { return };
    let line = Line::to(process.address()).await;
    let locks = Redis::open(&config(format!("redis://{}", line.address))).await.unwrap();
    let mut fence = 0;
    for _ in 0..20 {
        line.cut();
        let lock = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert!(lock.fence > fence);
        fence = lock.fence;
        line.cut();
        assert!(locks.renew(&key("a"), &lock.token, LONG).await.unwrap());
        line.cut();
        assert_eq!(locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
        line.cut();
        // False: the answer of a release that was done was cut off.
        let _ = locks.release(&key("a"), &lock.token).await.unwrap();
        assert!(!locks.renew(&key("a"), &lock.token, LONG).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_told_in_time_and_all_goes_on_after_it() {
    let Some(process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.server.call_timeout = Duration::from_millis(700);
    let locks = Redis::open(&config).await.unwrap();
    let held = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    process.stall();
    let since = Instant::now();
    let silent = locks.acquire(&key("a"), claim(LONG, LONG)).await.unwrap_err();
    assert!(matches!(silent, Error::Away(_)), "{silent:?}");
    assert!(locks.check().await.is_err(), "the node says that its locks are away");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(micro_api::Error::from(silent).code, 503);
    process.go_on();
    eventually("it recovers", async || locks.check().await.is_ok()).await;
    assert!(locks.renew(&key("held"), &held.token, LONG).await.unwrap());
    let next = locks.acquire(&key("b"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(next.fence > held.fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_two_seconds_costs_two_seconds() {
    let Some(process) = Process::start(&[]) else { return };
    faults::a_stall_costs_its_time(open(&process, SHORT).await, || process.stall(), || process.go_on()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_no_lock_and_no_fence() {
    let Some(mut process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.server.call_timeout = Duration::from_secs(5);
    let locks = Redis::open(&config).await.unwrap();
    faults::nothing_granted_is_lost(&mut process, Arc::clone(&locks) as Arc<dyn Backend>).await;
    // Who waits is woken also by a server that it had to find again.
    let held = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
    let waiter = locks.wait_for("a").await;
    assert!(locks.release(&key("a"), &held.token).await.unwrap());
    assert!(waiter.await.unwrap().unwrap().fence > held.fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_keeps_what_is_held() {
    let Some(process) = Process::start(&[]) else { return };
    let locks = open(&process, SHORT).await;
    let held = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    // Less than it uses already.
    locks.ask::<String>(&["CONFIG", "SET", "maxmemory", "1kb"]).await;
    let full = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap_err();
    assert_eq!(full, Error::Memory);
    assert_eq!(micro_api::Error::from(full).code, 507);
    assert!(locks.renew(&key("held"), &held.token, LONG).await.unwrap(), "that needs no memory");
    assert_eq!(locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
    assert!(locks.release(&key("held"), &held.token).await.unwrap());
    locks.ask::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let next = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(next.fence > held.fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_while_the_server_works_leaves_no_lock() {
    let Some(process) = Process::start(&[]) else { return };
    let locks = open(&process, SHORT).await;
    // On connections of its own: one that is held up holds up all that goes over it.
    let other = open(&process, SHORT).await;
    other.ask::<String>(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let gone = {
        let locks = Arc::clone(&locks);
        tokio::spawn(async move { locks.acquire(&key("a"), claim(LONG, LONG)).await })
    };
    eventually("the server has the question", async || {
        other.ask::<String>(&["INFO", "clients"]).await.contains("blocked_clients:1")
    })
    .await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    other.ask::<String>(&["CLIENT", "UNPAUSE"]).await;
    other.acquire(&key("a"), claim(LONG, PATIENCE)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_one_node_is_woken_by_the_other() {
    let Some(process) = Process::start(&[]) else { return };
    let (one, other) = (open(&process, NEVER).await, open(&process, NEVER).await);
    let mut held = one.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
    for round in 0..20 {
        let waiter = other.wait_for("a").await;
        if round % 2 == 1 {
            // What is published now, it may miss.
            one.ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        }
        assert!(one.release(&key("a"), &held.token).await.unwrap());
        let next = waiter.await.unwrap().unwrap();
        assert!(next.fence > held.fence);
        held = next;
    }
    // One that is over earlier than who waits believes.
    let waiter = one.wait_for("a").await;
    assert!(other.renew(&key("a"), &held.token, SHORT).await.unwrap());
    assert!(waiter.await.unwrap().unwrap().fence > held.fence);
    assert_eq!(one.queues.len() + other.queues.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_rights_suffice_and_without_wake_ups_who_waits_asks() {
    let rights = "resetchannels -@all +ping +info +evalsha +script|load +time +get +set +hget +hset +hdel +zadd +zrem \
                  +zscore +zcount +zrangebyscore +pexpire";
    let user = format!("user sync on >secret ~micro:sync:* {rights} &micro:sync:free +publish +subscribe");
    let deaf = format!("user deaf on >secret ~micro:sync:* {rights}");
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    std::fs::write(&users, format!("user default on >other ~* &* +@all\n{user}\n{deaf}\n")).unwrap();
    let Some(process) = Process::start(&["--aclfile", &users.display().to_string()]) else { return };
    for (user, poll) in [("sync", NEVER), ("deaf", Duration::from_millis(50))] {
        let url = format!("redis://{user}:secret@{}", process.address());
        let config = RedisSyncConfig { poll, ..config(url) };
        assert!(!format!("{config:?}").contains("secret"));
        let (one, other) = (Redis::open(&config).await.unwrap(), Redis::open(&config).await.unwrap());
        let held = one.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        let waiter = other.wait_for("a").await;
        assert!(one.renew(&key("a"), &held.token, LONG / 2).await.unwrap());
        assert_eq!(one.holder(&key("a")).await.unwrap(), None);
        assert!(one.release(&key("a"), &held.token).await.unwrap());
        let next = waiter.await.unwrap().unwrap();
        // One that expired is removed by the next that is taken.
        let gone = one.acquire(&key("b"), claim(Duration::from_millis(1), Duration::ZERO)).await.unwrap();
        assert!(other.release(&key("a"), &next.token).await.unwrap());
        let next = one.acquire(&key("b"), claim(LONG, PATIENCE)).await.unwrap();
        assert!(next.fence > gone.fence && one.release(&key("b"), &next.token).await.unwrap());
        one.check().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_locks_go_and_their_fence_stays() {
    let Some(process) = Process::start(&[]) else { return };
    let locks = open(&process, SHORT).await;
    let [all, expiries, fence] = locks.names();
    let mut last = 0;
    for name in ["a", "b", "c"] {
        last = locks.acquire(&key(name), claim(LONG, Duration::ZERO)).await.unwrap().fence;
    }
    locks.pass(LONG).await;
    let next = locks.acquire(&key("d"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(next.fence > last);
    assert_eq!(locks.ask::<usize>(&["HLEN", &all]).await, 1);
    assert_eq!(locks.ask::<usize>(&["ZCARD", &expiries]).await, 1);
    // Where nothing is locked any more, the server removes the rest, but for the fence.
    for key in [&all, &expiries] {
        assert_eq!(locks.ask::<i64>(&["PEXPIRE", key, "0"]).await, 1, "{key}");
    }
    assert_eq!(locks.ask::<i64>(&["PTTL", &fence]).await, -1, "a fence stays for ever");
    // As if the clock had been set back.
    let ahead = (next.fence + 3_600_000_000).to_string();
    locks.ask::<String>(&["SET", &fence, &ahead]).await;
    let after = locks.acquire(&key("d"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert_eq!(after.fence, next.fence + 3_600_000_001);
}

/// Redis acknowledges before its replicas have what it acknowledged.
mod failover {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lock_that_the_new_primary_had_not_got_is_granted_twice_and_only_the_fence_protects() {
        let Some(process) = Process::start(&[]) else { return };
        let locks = open(&process, SHORT).await;
        let first = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert_eq!(locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
        let [all, expiries, _] = locks.names();
        locks.ask::<i64>(&["DEL", &all, &expiries]).await;
        // Two believe that they hold it: nothing can prevent that.
        let second = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert!(second.fence > first.fence, "whoever compares fences refuses the first");
        // The first learns of it when it asks, and does no harm to the second.
        assert!(!locks.renew(&key("a"), &first.token, LONG).await.unwrap());
        assert!(!locks.release(&key("a"), &first.token).await.unwrap());
        assert!(locks.renew(&key("a"), &second.token, LONG).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fence_grows_also_when_all_was_lost_if_the_clock_goes_right() {
        let Some(process) = Process::start(&[]) else { return };
        let locks = open(&process, SHORT).await;
        let mut seen = 0;
        // Also when it was counted up faster than a clock of milliseconds would have.
        for _ in 0..100 {
            let lock = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
            assert!(lock.fence > seen);
            seen = lock.fence;
            assert!(locks.release(&key("a"), &lock.token).await.unwrap());
        }
        locks.ask::<String>(&["FLUSHALL"]).await;
        let lock = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert!(lock.fence > seen, "{} after {seen}", lock.fence);
    }

    /// What does not hold, so that nobody believes it: the counter is lost and the new primary's clock is behind.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_fence_goes_down_when_all_was_lost_and_the_clock_went_back() {
        let Some(process) = Process::start(&[]) else { return };
        let locks = open(&process, SHORT).await;
        let [_, _, fence] = locks.names();
        let first = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        // As the old primary counted, whose clock was an hour ahead.
        let ahead = (first.fence + 3_600_000_000).to_string();
        locks.ask::<String>(&["SET", &fence, &ahead]).await;
        let seen = locks.acquire(&key("b"), claim(LONG, Duration::ZERO)).await.unwrap().fence;
        locks.ask::<String>(&["FLUSHALL"]).await;
        let lower = locks.acquire(&key("b"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert!(lower.fence < seen, "{} after {seen}", lower.fence);
        // Fences stay right by themselves as soon as the counter or the clock has come as far as before.
        let next = locks.acquire(&key("a"), claim(LONG, Duration::ZERO)).await.unwrap();
        assert!(next.fence > lower.fence);
    }
}
