//! What the locks keep when their server is killed, or stalls: on every server that can be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::contract::{claim, key};
use super::{Backend, Claim, Error, Lock};
use crate::killed::{KILLS, Mortal, in_time, killed_under, unless_busy};

/// Longer than the test: what is held is held to its end.
const LONG: Duration = Duration::from_secs(600);
/// How long who wants a lock waits for it.
const SOON: Duration = Duration::from_millis(500);
/// Locks that one holds on to in a round; all of them are far fewer than may be held.
const KEPT: usize = 40;

/// What was granted.
type Granted = Vec<(String, Lock)>;

/// What is known of each lock by whoever was granted it.
#[derive(Debug, Default)]
struct Believed(Mutex<HashMap<String, Belief>>);

#[derive(Debug, Default)]
struct Belief {
    /// Somebody believes to hold it now.
    held: bool,
    /// The greatest so far.
    fence: u64,
    times: u32,
}

impl Believed {
    fn begin(&self, name: &str, lock: &Lock) {
        let mut all = self.0.lock();
        let one = all.entry(name.to_owned()).or_default();
        assert!(!one.held, "{name} is held already");
        assert!(lock.fence > one.fence, "the fence of {name} went from {} to {}", one.fence, lock.fence);
        *one = Belief { held: true, fence: lock.fence, times: one.times + 1 };
    }

    fn end(&self, name: &str) {
        if let Some(one) = self.0.lock().get_mut(name) {
            one.held = false;
        }
    }

    fn times(&self, name: &str) -> u32 {
        self.0.lock().get(name).map_or(0, |one| one.times)
    }

    fn greatest(&self) -> u64 {
        self.0.lock().values().map(|one| one.fence).max().unwrap_or(0)
    }
}

/// Several want the same lock, each for a moment.
async fn compete(locks: Arc<dyn Backend>, believed: Arc<Believed>, name: String) -> (Granted, Error) {
    let own = key(&name);
    loop {
        match locks.acquire(&own, claim(LONG, SOON)).await {
            Ok(lock) => {
                believed.begin(&name, &lock);
                tokio::task::yield_now().await;
                // Before it is asked for: another has it before the answer is here.
                believed.end(&name);
                if let Err(error) = unless_busy(is_busy, || locks.release(&own, &lock.token)).await {
                    return (Granted::new(), error);
                }
            }
            Err(Error::Timeout | Error::Busy) => {}
            Err(error) => return (Granted::new(), error),
        }
    }
}

/// One takes locks and holds on to them; then it asks after them.
async fn hold(locks: Arc<dyn Backend>, believed: Arc<Believed>, round: usize) -> (Granted, Error) {
    let mut held = Granted::new();
    loop {
        let name = format!("held/{round}/{}", held.len());
        let asked = if held.len() < KEPT {
            locks.acquire(&key(&name), claim(LONG, Duration::ZERO)).await.map(|lock| {
                believed.begin(&name, &lock);
                held.push((name, lock));
            })
        } else {
            let (name, lock) = &held[0];
            locks.renew(&key(name), &lock.token, LONG).await.map(|renewed| assert!(renewed, "{name}"))
        };
        match asked {
            Ok(()) | Err(Error::Busy) => {}
            Err(error) => return (held, error),
        }
    }
}

fn is_busy(error: &Error) -> bool {
    *error == Error::Busy
}

fn is_clear(error: &Error) -> bool {
    is_busy(error) || matches!(error, Error::Away(why) if !why.is_empty())
}

/// What was granted is held until its time is over, by one, and fences only grow.
pub(crate) async fn nothing_granted_is_lost(process: &mut impl Mortal, locks: Arc<dyn Backend>) {
    let believed = Arc::<Believed>::default();
    let lead = Claim { holder: Some("one".to_owned()), ..claim(LONG, Duration::ZERO) };
    let leader = locks.acquire(&key("leader"), lead).await.unwrap();
    for round in 0..KILLS {
        let mut writers: Vec<JoinHandle<_>> = (0..4)
            .map(|writer| {
                let name = format!("wanted/{round}/{}", writer % 2);
                tokio::spawn(compete(Arc::clone(&locks), Arc::clone(&believed), name))
            })
            .collect();
        writers.push(tokio::spawn(hold(Arc::clone(&locks), Arc::clone(&believed), round)));
        let loaded = async || {
            // All have had their turn, and more than once.
            believed.times(&format!("held/{round}/5")) > 0
                && (0..2).all(|number| believed.times(&format!("wanted/{round}/{number}")) > 10)
        };
        let away = async || {
            let (leader_key, other) = (key("leader"), key("other"));
            let (taken, renewed, asked) = tokio::join!(
                locks.acquire(&other, claim(LONG, LONG)),
                locks.renew(&leader_key, &leader.token, LONG),
                locks.check(),
            );
            for gone in [taken.map(drop), renewed.map(drop), asked] {
                let gone = gone.unwrap_err();
                assert!(is_clear(&gone), "{gone:?}");
                assert_eq!(micro_api::Error::from(gone).code, 503);
            }
        };
        let answers = async || locks.check().await.is_ok();
        for (held, end) in killed_under(process, writers, loaded, away, answers).await {
            assert!(is_clear(&end), "{end:?}");
            for (name, lock) in held {
                let other = locks.acquire(&key(&name), claim(LONG, Duration::ZERO)).await;
                assert_eq!(other, Err(Error::Timeout), "{name}");
                assert!(locks.renew(&key(&name), &lock.token, LONG).await.unwrap(), "{name}");
                assert!(locks.release(&key(&name), &lock.token).await.unwrap(), "{name}");
                believed.end(&name);
                let next = locks.acquire(&key(&name), claim(LONG, Duration::ZERO)).await.unwrap();
                believed.begin(&name, &next);
                assert!(locks.release(&key(&name), &next.token).await.unwrap(), "{name}");
                believed.end(&name);
            }
        }
        assert_eq!(locks.acquire(&key("leader"), claim(LONG, Duration::ZERO)).await, Err(Error::Timeout));
        assert_eq!(locks.holder(&key("leader")).await.unwrap().as_deref(), Some("one"));
    }
    assert!(locks.renew(&key("leader"), &leader.token, LONG).await.unwrap());
    assert!(locks.release(&key("leader"), &leader.token).await.unwrap());
    let next = locks.acquire(&key("leader"), claim(LONG, Duration::ZERO)).await.unwrap();
    assert!(next.fence > leader.fence && next.fence > believed.greatest());
}

/// A stall that is shorter than a call may take costs its time and nothing else.
pub(crate) async fn a_stall_costs_its_time(locks: Arc<dyn Backend>, stall: impl Fn(), go_on: impl Fn()) {
    let held = locks.acquire(&key("held"), claim(LONG, Duration::ZERO)).await.unwrap();
    stall();
    let two_seconds = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        go_on();
    };
    let (held_key, other) = (key("held"), key("other"));
    let (renewed, taken, ()) = in_time(async {
        tokio::join!(
            locks.renew(&held_key, &held.token, LONG),
            locks.acquire(&other, claim(LONG, Duration::ZERO)),
            two_seconds
        )
    })
    .await;
    assert!(renewed.unwrap());
    assert!(taken.unwrap().fence > held.fence);
}
