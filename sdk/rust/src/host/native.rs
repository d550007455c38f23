//! The platform in memory: what `cargo test` runs on.

use std::time::Duration;

use crate::store::{Change, Check, Range, Record};
use crate::streaming::Streams;
use crate::sync::Held;
use crate::test::with_state;
use crate::{Error, LocalFuture, Request};

#[path = "native/blob.rs"]
mod blob;
#[path = "native/streaming.rs"]
mod streaming;
pub(crate) use blob::*;
pub(crate) use streaming::*;

pub(crate) fn call(request: Request) -> LocalFuture<'static, Result<Vec<u8>, Error>> {
    let Some(service) = with_state(|state| state.service(&request.service)) else {
        return Box::pin(async { Err(Error::not_found("go.micro.client", "service not found")) });
    };
    if (service.streams)(&request.endpoint) != Some(Streams::default()) {
        let detail = format!("{} streams: open a stream of it", request.endpoint);
        return Box::pin(async { Err(Error::bad_request("go.micro.client", detail)) });
    }
    (service.answer)(request)
}

pub(crate) fn log(level: crate::log::Level, message: &str, fields: &[(&str, &str)]) {
    let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    eprintln!("{level:?} {message}{fields}");
    with_state(|state| state.logs.push(format!("{message}{fields}")));
}

pub(crate) async fn broker_publish(
    topic: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<(), Error> {
    crate::test::check_message(&topic, &body)?;
    with_state(|state| state.published.push(crate::test::Published { topic, headers, body }));
    Ok(())
}

pub(crate) async fn events_publish(
    topic: String,
    metadata: Vec<(String, String)>,
    payload: Vec<u8>,
) -> Result<String, Error> {
    with_state(|state| state.events.append(topic, metadata, payload))
}

pub(crate) async fn events_read(
    topic: String,
    after: u64,
    limit: u32,
) -> Result<Vec<crate::events::Event>, Error> {
    with_state(|state| state.events.read(&topic, after, limit))
}

pub(crate) async fn store_get(key: String) -> Result<Option<Record>, Error> {
    check_key(&key)?;
    Ok(with_state(|state| state.store.get(&key)))
}

pub(crate) async fn store_set(key: String, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Error> {
    check_key(&key)?;
    check_value(&value)?;
    with_state(|state| state.store.set(key, value, ttl))
}

pub(crate) async fn store_delete(key: String) -> Result<(), Error> {
    check_key(&key)?;
    with_state(|state| state.store.delete(&key))
}

pub(crate) async fn store_increment(key: String, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    check_key(&key)?;
    with_state(|state| state.store.increment(key, delta, ttl))
}

pub(crate) async fn store_commit(checks: Vec<Check>, changes: Vec<Change>) -> Result<bool, Error> {
    let mut bytes = 0;
    for check in &checks {
        check_key(&check.key)?;
        bytes += check.key.len() + check.value.as_ref().map_or(0, Vec::len);
    }
    for (at, change) in changes.iter().enumerate() {
        check_key(&change.key)?;
        bytes += change.key.len();
        if let Some((value, _)) = &change.write {
            check_value(value)?;
            bytes += value.len();
        }
        if changes.iter().take(at).any(|earlier| earlier.key == change.key) {
            return Err(Error::bad_request("go.micro.store", "a transaction changes a key only once"));
        }
    }
    if checks.len() + changes.len() > 100 || bytes > 4 << 20 {
        let detail = "a transaction has at most 100 checks and changes, and 4 MiB of keys and values";
        return Err(Error::bad_request("go.micro.store", detail));
    }
    with_state(|state| state.store.commit(&checks, changes))
}

pub(crate) async fn store_read(range: Range) -> Result<Vec<Record>, Error> {
    Ok(with_state(|state| state.store.read(&range)))
}

pub(crate) async fn store_list(range: Range) -> Result<Vec<String>, Error> {
    Ok(with_state(|state| state.store.read(&range).into_iter().map(|record| record.key).collect()))
}

pub(crate) async fn config_get(path: String) -> Result<Option<String>, Error> {
    if !path.is_empty() {
        check_path(&path)?;
    }
    Ok(with_state(|state| state.config.get(&path)))
}

pub(crate) async fn config_secret(path: String) -> Result<Option<String>, Error> {
    check_path(&path)?;
    Ok(with_state(|state| state.config.secret(&path)))
}

pub(crate) async fn config_version() -> Result<u64, Error> {
    Ok(with_state(|state| state.config.version()))
}

/// A test has one thread, so nobody could change anything meanwhile: as if the deadline came.
pub(crate) async fn config_next(_after: u64) -> Result<u64, Error> {
    config_version().await
}

fn check_path(path: &str) -> Result<(), Error> {
    let fine =
        path.len() <= 256 && !path.chars().any(char::is_control) && !path.split('.').any(str::is_empty);
    if fine {
        Ok(())
    } else {
        Err(Error::bad_request("go.micro.config", "a path is parts divided by single dots"))
    }
}

pub(crate) async fn lock_acquire(name: String, ttl: Duration, wait: Duration) -> Result<Held, Error> {
    crate::test::take_lock(name, None, ttl, wait)
}

pub(crate) async fn lock_campaign(
    name: String,
    id: String,
    ttl: Duration,
    wait: Duration,
) -> Result<Held, Error> {
    crate::test::take_lock(name, Some(id), ttl, wait)
}

pub(crate) async fn lock_renew(name: String, token: String, ttl: Duration) -> Result<bool, Error> {
    with_state(|state| state.locks.renew(&name, &token, ttl))
}

pub(crate) async fn lock_release(name: String, token: String) -> Result<bool, Error> {
    with_state(|state| state.locks.release(&name, &token))
}

pub(crate) async fn lock_leader(name: String) -> Result<Option<String>, Error> {
    with_state(|state| state.locks.leader(&name))
}

pub(crate) async fn registry_get(name: String) -> Result<Vec<crate::registry::Service>, Error> {
    let found = with_state(|state| state.registry.get(&name));
    if found.is_empty() { Err(Error::not_found("go.micro.registry", "service not found")) } else { Ok(found) }
}

pub(crate) async fn registry_list() -> Result<Vec<String>, Error> {
    Ok(with_state(|state| state.registry.names()))
}

/// Nothing changes while a test waits, so it does not wait.
pub(crate) async fn registry_watch(
    service: Option<String>,
    after: Option<String>,
    _wait: Duration,
) -> Result<crate::registry::Changes, Error> {
    Ok(with_state(|state| state.registry.changes(service.as_deref(), after.as_deref())))
}

#[cfg(feature = "http")]
pub(crate) async fn http_send(request: crate::http::Request) -> Result<crate::http::Response, Error> {
    match with_state(|state| state.http.clone()) {
        Some(answer) => answer(request),
        None => Err(Error::forbidden("go.micro.http", "the test's World answers no HTTP: see World::http")),
    }
}

pub(crate) async fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > 1024 {
        return Err(Error::bad_request("go.micro.store", "a key has 1 to 1024 bytes"));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > 4 << 20 {
        return Err(Error::bad_request("go.micro.store", "the value is larger than 4 MiB"));
    }
    Ok(())
}
