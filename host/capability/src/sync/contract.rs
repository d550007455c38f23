//! What every backend does. Runs on memory always, on PostgreSQL and Redis where `MICRO_TEST_POSTGRES` and
//! `MICRO_TEST_REDIS` name one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;
use crate::Scope;
use crate::redis::server;
use crate::tests::ran;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);
/// Before this nothing that ought to happen may be given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a check on each backend, a fresh one each.
fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Backend>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(check(Arc::<Memory>::default()));
    ran("locks", "memory");
    if let Ok(url) = std::env::var("MICRO_TEST_POSTGRES") {
        runtime.block_on(on_postgres(&url, &check));
        ran("locks", "PostgreSQL");
    }
    if let Some(url) = server::shared() {
        runtime.block_on(async {
            let mut config = RedisSyncConfig::new(&url);
            config.server.prefix = server::prefix();
            check(Redis::open(&config).await.unwrap()).await;
            server::remove_all(&url, &config.server.prefix).await;
        });
        ran("locks", "Redis");
    }
}

async fn on_postgres<F: Future<Output = ()>>(url: &str, check: impl Fn(Arc<dyn Backend>) -> F) {
    let schema = format!("locks_{}", uuid::Uuid::new_v4().simple());
    let sweep_every = Duration::from_millis(50);
    let config = PostgresConfig { schema: schema.clone(), sweep_every, ..PostgresConfig::new(url) };
    check(Postgres::open(&config).await.unwrap()).await;
    let server = sqlx::PgPool::connect(url).await.unwrap();
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&server).await.unwrap();
}

pub(super) fn key_of(namespace: &str, service: &str, name: &str) -> LockKey {
    let scope = Scope {
        namespace: namespace.parse().unwrap(),
        service: service.parse().unwrap(),
        version: "latest".to_owned(),
    };
    LockKey::own(&scope, name).unwrap()
}

pub(super) fn key(name: &str) -> LockKey {
    key_of("default", "greeter", name)
}

pub(super) fn claim(ttl: Duration, wait: Duration) -> Claim {
    Claim { holder: None, ttl, until: Instant::now() + wait }
}

async fn take(backend: &dyn Backend, key: &LockKey, ttl: Duration) -> Lock {
    backend.acquire(key, claim(ttl, PATIENCE)).await.unwrap()
}

async fn is_free(backend: &dyn Backend, key: &LockKey) -> bool {
    match backend.acquire(key, claim(LONG, Duration::ZERO)).await {
        Ok(lock) => backend.release(key, &lock.token).await.unwrap(),
        Err(Error::Timeout) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn one_of_many_contenders_holds_it() {
    on_each(|backend| async move {
        let (inside, fences) =
            (Arc::<AtomicUsize>::default(), Arc::<parking_lot::Mutex<Vec<u64>>>::default());
        let all: Vec<_> = (0..32)
            .map(|_| {
                let (backend, inside, fences) =
                    (Arc::clone(&backend), Arc::clone(&inside), Arc::clone(&fences));
                tokio::spawn(async move {
                    let lock = take(&*backend, &key("a"), LONG).await;
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                    fences.lock().push(lock.fence);
                    tokio::task::yield_now().await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                    assert!(backend.release(&key("a"), &lock.token).await.unwrap());
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        let fences = fences.lock();
        assert_eq!(fences.len(), 32);
        assert!(fences.is_sorted_by(|before, after| before < after), "{fences:?}");
        assert!(fences.iter().all(|fence| i64::try_from(*fence).is_ok()));
    });
}

#[test]
fn a_lock_that_expires_goes_to_who_waits() {
    on_each(|backend| async move {
        let first = take(&*backend, &key("a"), SHORT).await;
        let since = Instant::now();
        assert!(!is_free(&*backend, &key("a")).await);
        let second = take(&*backend, &key("a"), LONG).await;
        assert!(since.elapsed() > SHORT / 2 && since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
        assert!(second.fence > first.fence && second.token != first.token);
        assert!(second.left <= LONG && second.left > LONG / 2, "{second:?}");
        // The first does not know yet.
        assert!(!backend.renew(&key("a"), &first.token, LONG).await.unwrap());
        assert!(!backend.release(&key("a"), &first.token).await.unwrap());
        assert!(!is_free(&*backend, &key("a")).await, "what is held no longer was released");
    });
}

#[test]
fn a_renewed_lock_lives_on() {
    on_each(|backend| async move {
        let lock = take(&*backend, &key("a"), SHORT).await;
        assert!(backend.renew(&key("a"), &lock.token, LONG).await.unwrap());
        sleep(SHORT * 2).await;
        assert!(!is_free(&*backend, &key("a")).await);
        // Also a shorter time counts, for who waits already too.
        let waiter = {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { take(&*backend, &key("a"), LONG).await })
        };
        sleep(SHORT).await;
        assert!(backend.renew(&key("a"), &lock.token, SHORT).await.unwrap());
        let next = tokio::time::timeout(PATIENCE / 2, waiter).await.expect("it is handed over").unwrap();
        assert!(next.fence > lock.fence);
    });
}

#[test]
fn a_fence_grows_also_after_the_lock_was_gone() {
    on_each(|backend| async move {
        let mut before = 0;
        for _ in 0..20 {
            let lock = take(&*backend, &key("a"), LONG).await;
            assert!(lock.fence > before, "{} after {before}", lock.fence);
            before = lock.fence;
            assert!(backend.release(&key("a"), &lock.token).await.unwrap());
            assert!(!backend.release(&key("a"), &lock.token).await.unwrap(), "twice");
        }
    });
}

#[test]
fn a_foreign_token_does_nothing() {
    on_each(|backend| async move {
        let (a, b) = (take(&*backend, &key("a"), LONG).await, take(&*backend, &key("b"), LONG).await);
        for token in [b.token.as_str(), "", "guessed", &a.token[1..]] {
            assert!(!backend.renew(&key("a"), token, SHORT).await.unwrap(), "{token}");
            assert!(!backend.release(&key("a"), token).await.unwrap(), "{token}");
        }
        assert!(!backend.renew(&key("never taken"), &a.token, LONG).await.unwrap());
        sleep(SHORT * 2).await;
        assert!(!is_free(&*backend, &key("a")).await && !is_free(&*backend, &key("b")).await);
        assert!(backend.release(&key("a"), &a.token).await.unwrap());
    });
}

#[test]
fn namespaces_and_services_are_apart() {
    on_each(|backend| async move {
        let keys = [key("a"), key("b"), key_of("other", "greeter", "a"), key_of("default", "other", "a")];
        let mut locks = Vec::new();
        for key in &keys {
            locks.push(backend.acquire(key, claim(LONG, Duration::ZERO)).await.unwrap());
        }
        // The token of one opens none of the others.
        for key in &keys[1..] {
            assert!(!backend.release(key, &locks[0].token).await.unwrap());
        }
        for (key, lock) in keys.iter().zip(&locks) {
            assert!(backend.release(key, &lock.token).await.unwrap());
        }
    });
}

#[test]
fn a_wait_ends_in_time_and_leaves_nothing() {
    on_each(|backend| async move {
        let held = take(&*backend, &key("a"), LONG).await;
        let since = Instant::now();
        let late = backend.acquire(&key("a"), claim(LONG, SHORT)).await.unwrap_err();
        assert_eq!((&late, late.to_string().as_str()), (&Error::Timeout, "lock timeout"));
        assert!(since.elapsed() >= SHORT && since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
        assert!(backend.release(&key("a"), &held.token).await.unwrap());
        // Nobody holds it in the name of who gave up.
        let next = take(&*backend, &key("a"), LONG).await;
        assert!(next.fence > held.fence && since.elapsed() < PATIENCE / 2);
    });
}

#[test]
fn a_cancelled_waiter_leaves_nothing() {
    on_each(|backend| async move {
        let held = take(&*backend, &key("a"), LONG).await;
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let backend = Arc::clone(&backend);
                tokio::spawn(async move { backend.acquire(&key("a"), claim(LONG, PATIENCE)).await })
            })
            .collect();
        let last = {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { take(&*backend, &key("a"), LONG).await })
        };
        sleep(SHORT).await;
        for waiter in waiters {
            waiter.abort();
            assert!(waiter.await.unwrap_err().is_cancelled());
        }
        assert!(backend.release(&key("a"), &held.token).await.unwrap());
        let lock = tokio::time::timeout(PATIENCE / 2, last).await.expect("the one that stayed").unwrap();
        assert!(backend.release(&key("a"), &lock.token).await.unwrap());
        assert!(is_free(&*backend, &key("a")).await);
    });
}

#[test]
fn a_leader_is_known_until_it_resigns_or_expires() {
    on_each(|backend| async move {
        let key = key("election");
        assert_eq!(backend.holder(&key).await.unwrap(), None);
        let lead = |id: &str, ttl| Claim { holder: Some(id.to_owned()), ..claim(ttl, PATIENCE) };
        let first = backend.acquire(&key, lead("one", LONG)).await.unwrap();
        assert_eq!(backend.holder(&key).await.unwrap().as_deref(), Some("one"));
        assert!(backend.release(&key, &first.token).await.unwrap());
        assert_eq!(backend.holder(&key).await.unwrap(), None);
        let second = backend.acquire(&key, lead("two", SHORT)).await.unwrap();
        assert!(second.fence > first.fence);
        assert_eq!(backend.holder(&key).await.unwrap().as_deref(), Some("two"));
        sleep(SHORT * 2).await;
        assert_eq!(backend.holder(&key).await.unwrap(), None, "its time is over");
        // Whoever locks without an id leads nobody.
        take(&*backend, &key, LONG).await;
        assert_eq!(backend.holder(&key).await.unwrap(), None);
    });
}

#[test]
fn a_namespace_holds_no_more_than_its_limit() {
    on_each(|backend| async move {
        let first = take(&*backend, &key("0"), LONG).await;
        for number in 1..HELD_MAX {
            take(&*backend, &key(&number.to_string()), LONG).await;
        }
        let more = key("one more");
        assert_eq!(backend.acquire(&more, claim(LONG, Duration::ZERO)).await.unwrap_err(), Error::Full);
        // Others are not touched by it, and what is held can be renewed.
        take(&*backend, &key_of("other", "greeter", "a"), LONG).await;
        assert!(backend.renew(&key("0"), &first.token, SHORT).await.unwrap());
        // One that expired counts no longer.
        sleep(SHORT * 2).await;
        let lock = take(&*backend, &more, LONG).await;
        assert!(!backend.renew(&key("0"), &first.token, LONG).await.unwrap());
        assert!(backend.release(&more, &lock.token).await.unwrap());
        assert!(is_free(&*backend, &key("0")).await);
    });
}
