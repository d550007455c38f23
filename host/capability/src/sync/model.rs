//! What only memory promises (an order, no polling, nothing left over), and random calls, each held against a map that
//! does the same, on memory and on Redis. `PROPTEST_CASES` sets how many runs there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::contract::{claim, key};
use super::*;
use crate::Handle;
use crate::redis::server;
use crate::tests::{World, context, ran};

const HOUR: Duration = Duration::from_secs(3_600);
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Call {
    /// With this many units of time to live.
    Acquire(usize, u32),
    Renew(usize, Whose, u32),
    Release(usize, Whose),
    Holder(usize),
    /// So many units pass.
    Pass(u32),
}

/// Of which lock the token is.
#[derive(Debug, Clone, Copy)]
enum Whose {
    /// The last that was taken under the name, held or not.
    Own,
    /// The last of this name.
    Of(usize),
    Guessed,
}

fn call() -> impl Strategy<Value = Call> {
    let name = || 0..NAMES.len();
    let units = || 1..20_u32;
    let whose =
        || prop_oneof![3 => Just(Whose::Own), 1 => name().prop_map(Whose::Of), 1 => Just(Whose::Guessed)];
    prop_oneof![
        4 => (name(), units()).prop_map(|(name, ttl)| Call::Acquire(name, ttl)),
        2 => (name(), whose(), units()).prop_map(|(name, whose, ttl)| Call::Renew(name, whose, ttl)),
        2 => (name(), whose()).prop_map(|(name, whose)| Call::Release(name, whose)),
        1 => name().prop_map(Call::Holder),
        2 => units().prop_map(Call::Pass),
    ]
}

/// A backend whose time passes when the test says so.
#[async_trait]
pub(super) trait Timed: Sync {
    /// What the calls' times are multiples of: so long that what the test itself takes does not count.
    const UNIT: Duration;

    fn backend(&self) -> &dyn Backend;

    async fn pass(&self, time: Duration);

    /// Holds what is kept against the number of locks that are held.
    async fn check_kept(&self, held: usize);
}

#[async_trait]
impl Timed for Memory {
    const UNIT: Duration = Duration::from_secs(1);

    fn backend(&self) -> &dyn Backend {
        self
    }

    async fn pass(&self, time: Duration) {
        advance(time).await;
    }

    async fn check_kept(&self, held: usize) {
        assert_eq!(self.kept(), [held, held, usize::from(held > 0), 0]);
    }
}

/// What the map knows: the last token of each name, and until when it holds.
#[derive(Default)]
struct Model {
    now: Duration,
    tokens: HashMap<usize, String>,
    until: HashMap<usize, Duration>,
    fence: u64,
}

impl Model {
    fn is_held(&self, name: usize) -> bool {
        self.until.get(&name).is_some_and(|until| *until > self.now)
    }

    fn token(&self, name: usize, whose: Whose) -> String {
        let of = match whose {
            Whose::Own => Some(name),
            Whose::Of(other) => Some(other),
            Whose::Guessed => None,
        };
        of.and_then(|of| self.tokens.get(&of).cloned()).unwrap_or_else(|| "guessed".to_owned())
    }

    fn opens(&self, name: usize, token: &str) -> bool {
        self.is_held(name) && self.tokens.get(&name).is_some_and(|known| known == token)
    }

    async fn step<T: Timed>(&mut self, timed: &T, call: Call) {
        let (backend, time) = (timed.backend(), |units| T::UNIT * units);
        match call {
            Call::Acquire(name, ttl) => {
                let id = Some(NAMES[name].to_owned());
                let claim = Claim { holder: id, ..claim(time(ttl), Duration::ZERO) };
                let taken = backend.acquire(&key(NAMES[name]), claim).await;
                if self.is_held(name) {
                    assert_eq!(taken, Err(Error::Timeout));
                    return;
                }
                let lock = taken.unwrap();
                assert!(lock.fence > self.fence, "{} after {}", lock.fence, self.fence);
                self.fence = lock.fence;
                self.tokens.insert(name, lock.token);
                self.until.insert(name, self.now + time(ttl));
            }
            Call::Renew(name, whose, ttl) => {
                let token = self.token(name, whose);
                let opens = self.opens(name, &token);
                assert_eq!(backend.renew(&key(NAMES[name]), &token, time(ttl)).await, Ok(opens));
                if opens {
                    self.until.insert(name, self.now + time(ttl));
                }
            }
            Call::Release(name, whose) => {
                let token = self.token(name, whose);
                let opens = self.opens(name, &token);
                assert_eq!(backend.release(&key(NAMES[name]), &token).await, Ok(opens));
                if opens {
                    self.until.remove(&name);
                }
            }
            Call::Holder(name) => {
                let expected = self.is_held(name).then(|| NAMES[name].to_owned());
                assert_eq!(backend.holder(&key(NAMES[name])).await, Ok(expected));
            }
            Call::Pass(units) => {
                timed.pass(time(units)).await;
                self.now += time(units);
            }
        }
        timed.check_kept((0..NAMES.len()).filter(|name| self.is_held(*name)).count()).await;
    }
}

proptest! {
    #[test]
    fn random_calls_do_what_the_model_does(calls in vec(call(), 0..60)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (memory, mut model) = (Memory::default(), Model::default());
            for call in calls {
                model.step(&memory, call).await;
            }
        });
    }
}

#[test]
fn random_calls_in_redis_do_what_the_model_does() {
    let Some(url) = server::shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut config = RedisSyncConfig::new(&url);
    config.server.prefix = server::prefix();
    let redis = runtime.block_on(Redis::open(&config)).unwrap();
    proptest!(|(calls in vec(call(), 0..60))| {
        runtime.block_on(async {
            redis.forget("default").await;
            let mut model = Model::default();
            for call in calls {
                model.step(&*redis, call).await;
            }
        });
    });
    runtime.block_on(server::remove_all(&url, &config.server.prefix));
    ran("locks", "Redis");
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let memory = Arc::<Memory>::default();
    let held = memory.acquire(&key("a"), claim(HOUR, Duration::ZERO)).await.unwrap();
    let order = Arc::<parking_lot::Mutex<Vec<usize>>>::default();
    let mut waiters = Vec::new();
    for number in 0..20 {
        let (memory, order) = (Arc::clone(&memory), Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let lock = memory.acquire(&key("a"), claim(HOUR, HOUR)).await.unwrap();
            order.lock().push(number);
            assert!(memory.release(&key("a"), &lock.token).await.unwrap());
        }));
        // The clock moves only when all others wait.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Who does not wait does not push in, and who goes does not stop the others.
    waiters.remove(0).abort();
    waiters.remove(6).abort();
    let since = Instant::now();
    assert!(memory.release(&key("a"), &held.token).await.unwrap());
    assert_eq!(memory.acquire(&key("a"), claim(HOUR, Duration::ZERO)).await, Err(Error::Timeout));
    for waiter in waiters {
        waiter.await.unwrap();
    }
    let expected: Vec<_> = (1..20).filter(|number| *number != 7).collect();
    assert_eq!(*order.lock(), expected);
    assert_eq!(since.elapsed(), Duration::ZERO, "nobody slept: each was woken by the one before");
    assert_eq!(memory.kept(), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_wakes_the_first_at_its_moment() {
    let memory = Arc::<Memory>::default();
    let since = Instant::now();
    let first = memory.acquire(&key("a"), claim(Duration::from_secs(10), Duration::ZERO)).await.unwrap();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let memory = Arc::clone(&memory);
            tokio::spawn(async move {
                memory.acquire(&key("a"), claim(Duration::from_secs(10), HOUR)).await.unwrap();
                Instant::now()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(memory.renew(&key("a"), &first.token, Duration::from_secs(10)).await.unwrap());
    for (number, waiter) in waiters.into_iter().enumerate() {
        let expected = Duration::from_secs(14 + 10 * number as u64);
        let after = waiter.await.unwrap() - since;
        assert!(after >= expected && after < expected + Duration::from_millis(10), "{after:?}");
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(memory.kept(), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_has_so_many_waiters_and_no_more() {
    let memory = Arc::<Memory>::default();
    memory.acquire(&key("a"), claim(HOUR, Duration::ZERO)).await.unwrap();
    let waiters: Vec<_> = (0..WAITERS_MAX)
        .map(|_| {
            let memory = Arc::clone(&memory);
            tokio::spawn(async move { memory.acquire(&key("a"), claim(HOUR, HOUR / 2)).await })
        })
        .collect();
    // The clock moves only when all others wait.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(memory.acquire(&key("a"), claim(HOUR, HOUR)).await, Err(Error::Waiters));
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Err(Error::Timeout));
    }
    assert_eq!(memory.kept(), [1, 1, 1, 0]);
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_caller_and_says_what_is_wrong() {
    let world = World::new();
    let guest = world.guest(micro_api::manifest::Grants { sync: true, ..Default::default() });
    assert!(guest.granted().sync);
    let handle = Handle::new(Arc::clone(&guest), context(Duration::from_secs(30)));
    let lock = handle.lock_acquire("a", Some("one".to_owned()), 60_000, 0).await.unwrap();
    assert_eq!(handle.lock_leader("a").await.unwrap().as_deref(), Some("one"));
    let hurried = Handle::new(guest, context(Duration::from_millis(400)));
    let since = std::time::Instant::now();
    let late = hurried.lock_acquire("a", None, 60_000, 3_600_000).await.unwrap_err();
    assert_eq!((late.code, late.detail.as_str(), late.id.as_str()), (408, "lock timeout", "go.micro.sync"));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    for ttl_ms in [0, 999, 3_600_001, u64::MAX] {
        assert_eq!(handle.lock_acquire("b", None, ttl_ms, 0).await.unwrap_err().code, 400, "{ttl_ms}");
        assert_eq!(handle.lock_renew("a", &lock.token, ttl_ms).await.unwrap_err().code, 400, "{ttl_ms}");
    }
    let long = "a".repeat(257);
    for name in ["", "a\0", long.as_str()] {
        assert_eq!(handle.lock_acquire(name, None, 1_000, 0).await.unwrap_err().code, 400, "{name:?}");
        let named = handle.lock_acquire("b", Some(name.to_owned()), 1_000, 0).await;
        assert_eq!(named.unwrap_err().code, 400, "{name:?}");
        assert_eq!(handle.lock_leader(name).await.unwrap_err().code, 400);
        assert_eq!(handle.lock_release(name, "t").await.unwrap_err().code, 400);
    }
    assert!(handle.lock_acquire(&long[1..], None, 3_600_000, 0).await.is_ok());
    assert!(handle.lock_renew("a", &lock.token, 1_000).await.unwrap());
    assert!(handle.lock_release("a", &lock.token).await.unwrap());
    assert_eq!(handle.lock_leader("a").await.unwrap(), None);
}
