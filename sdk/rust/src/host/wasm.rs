//! The platform, through the bindings of its WIT files.

use std::time::{Duration, UNIX_EPOCH};

use crate::bindings::service::micro::platform::{
    broker, client, config, events, locks, log, registry, store, types,
};
use crate::client::{Codec, Selector};
use crate::store::{Change, Check, Range, Record};
use crate::sync::Held;
use crate::{Account, Context, Error, Request, Service};

#[path = "wasm/blob.rs"]
mod blob;
#[path = "wasm/streaming.rs"]
mod streaming;
pub(crate) use blob::*;
pub(crate) use streaming::*;

#[cfg(feature = "http")]
#[path = "wasm/http.rs"]
mod http;
#[cfg(feature = "http")]
pub(crate) use http::http_send;
#[cfg(feature = "http")]
#[doc(hidden)]
pub use http::serve;

/// Answers one call of the exported handler.
#[doc(hidden)]
pub async fn dispatch(
    service: &Service,
    context: types::Context,
    endpoint: String,
    codec: types::Codec,
    request: Vec<u8>,
) -> Result<Vec<u8>, types::Error> {
    if codec != types::Codec::Protobuf {
        return Err(Error::new("go.micro.server", 415, "this service reads protobuf").into());
    }
    let context = Context::from(context);
    service.handle(&context, &endpoint, request).await.map_err(Into::into)
}

pub(crate) async fn call(request: Request) -> Result<Vec<u8>, Error> {
    let (codec, options) = (codec(request.codec), request.options.into());
    client::call(request.service, request.endpoint, codec, request.body, options).await.map_err(Into::into)
}

fn codec(codec: Codec) -> types::Codec {
    match codec {
        Codec::Protobuf => types::Codec::Protobuf,
        Codec::Json => types::Codec::Json,
    }
}

impl From<crate::client::Options> for client::Options {
    fn from(options: crate::client::Options) -> Self {
        Self {
            metadata: options.metadata,
            timeout: options.timeout.map(millis_u32),
            version: options.version,
            labels: options.labels,
            selector: match options.selector {
                Selector::Random => client::Selector::Random,
                Selector::RoundRobin => client::Selector::RoundRobin,
            },
        }
    }
}

pub(crate) fn log(level: crate::log::Level, message: &str, fields: &[(&str, &str)]) {
    use crate::log::Level;
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
        Level::Fatal => log::Level::Fatal,
    };
    let fields: Vec<_> = fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    log::write(level, message, &fields);
}

pub(crate) async fn broker_publish(
    topic: String,
    header: Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<(), Error> {
    Ok(broker::publish(topic, broker::Message { header, body }).await?)
}

pub(crate) async fn events_publish(
    topic: String,
    metadata: Vec<(String, String)>,
    payload: Vec<u8>,
) -> Result<String, Error> {
    Ok(events::publish(topic, metadata, payload).await?)
}

pub(crate) async fn events_read(
    topic: String,
    after: u64,
    limit: u32,
) -> Result<Vec<crate::events::Event>, Error> {
    let page = events::read(topic, Some(after.to_string()), limit).await?;
    Ok(page.into_iter().map(Into::into).collect())
}

impl From<events::Event> for crate::events::Event {
    fn from(event: events::Event) -> Self {
        Self {
            id: event.id,
            position: event.position,
            timestamp: UNIX_EPOCH + Duration::from_millis(event.timestamp_ms),
            metadata: event.metadata.into_iter().collect(),
            payload: event.payload,
        }
    }
}

pub(crate) async fn store_get(key: String) -> Result<Option<Record>, Error> {
    Ok(store::get(key).await?.map(Into::into))
}

pub(crate) async fn store_set(key: String, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Error> {
    Ok(store::set(key, value, ttl.map(millis)).await?)
}

pub(crate) async fn store_delete(key: String) -> Result<(), Error> {
    Ok(store::delete(key).await?)
}

pub(crate) async fn store_increment(key: String, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    Ok(store::increment(key, delta, ttl.map(millis)).await?)
}

pub(crate) async fn store_commit(checks: Vec<Check>, changes: Vec<Change>) -> Result<bool, Error> {
    let checks = checks.into_iter().map(|check| store::Check { key: check.key, value: check.value });
    let changes = changes.into_iter().map(|change| store::Change {
        key: change.key,
        action: match change.write {
            Some((value, ttl)) => store::Action::Set(store::Write { value, ttl: ttl.map(millis) }),
            None => store::Action::Delete,
        },
    });
    Ok(store::commit(checks.collect(), changes.collect()).await?)
}

pub(crate) async fn store_read(range: Range) -> Result<Vec<Record>, Error> {
    Ok(store::read(range.into()).await?.into_iter().map(Into::into).collect())
}

pub(crate) async fn store_list(range: Range) -> Result<Vec<String>, Error> {
    Ok(store::list(range.into()).await?)
}

pub(crate) async fn config_get(path: String) -> Result<Option<String>, Error> {
    Ok(config::get(path).await?)
}

pub(crate) async fn config_secret(path: String) -> Result<Option<String>, Error> {
    Ok(config::secret(path).await?)
}

pub(crate) async fn config_version() -> Result<u64, Error> {
    Ok(config::version().await?)
}

pub(crate) async fn config_next(after: u64) -> Result<u64, Error> {
    Ok(config::next(after).await?)
}

pub(crate) async fn lock_acquire(name: String, ttl: Duration, wait: Duration) -> Result<Held, Error> {
    Ok(held(locks::acquire(name, millis(ttl), millis(wait)).await?))
}

pub(crate) async fn lock_campaign(
    name: String,
    id: String,
    ttl: Duration,
    wait: Duration,
) -> Result<Held, Error> {
    Ok(held(locks::campaign(name, id, millis(ttl), millis(wait)).await?))
}

pub(crate) async fn lock_renew(name: String, token: String, ttl: Duration) -> Result<bool, Error> {
    Ok(locks::renew(name, token, millis(ttl)).await?)
}

pub(crate) async fn lock_release(name: String, token: String) -> Result<bool, Error> {
    Ok(locks::release(name, token).await?)
}

pub(crate) async fn lock_leader(name: String) -> Result<Option<String>, Error> {
    Ok(locks::leader(name).await?)
}

fn held(lock: locks::Lock) -> Held {
    Held { token: lock.token, fence: lock.fence, left: Duration::from_millis(lock.expires_in) }
}

pub(crate) async fn registry_get(name: String) -> Result<Vec<crate::registry::Service>, Error> {
    Ok(registry::get_service(name).await?.into_iter().map(Into::into).collect())
}

pub(crate) async fn registry_list() -> Result<Vec<String>, Error> {
    Ok(registry::list_services().await?)
}

pub(crate) async fn registry_watch(
    service: Option<String>,
    after: Option<String>,
    wait: Duration,
) -> Result<crate::registry::Changes, Error> {
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    let found = registry::watch(service, after, wait_ms).await?;
    Ok(crate::registry::Changes {
        reset: found.reset,
        ready: found.ready,
        revision: found.revision,
        changes: found.changes.into_iter().map(Into::into).collect(),
    })
}

pub(crate) async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    crate::bindings::job::wasi::clocks::monotonic_clock::wait_for(nanos).await;
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_u32(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl From<types::Context> for Context {
    fn from(context: types::Context) -> Self {
        let account = context.account.map(|account| Account {
            id: account.id,
            kind: account.kind,
            issuer: account.issuer,
            scopes: account.scopes,
        });
        Self {
            account,
            metadata: context.metadata,
            deadline: UNIX_EPOCH + Duration::from_millis(context.deadline),
            traceparent: context.traceparent,
            request_id: context.request_id,
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self { id: error.id, code: error.code, detail: error.detail, status: error.status }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self { id: error.id, code: error.code, detail: error.detail, status: error.status }
    }
}

impl From<store::Entry> for Record {
    fn from(entry: store::Entry) -> Self {
        Self { key: entry.key, value: entry.value, expiry: entry.expiry.map(Duration::from_millis) }
    }
}

impl From<Range> for store::Range {
    fn from(range: Range) -> Self {
        Self {
            prefix: range.prefix,
            suffix: range.suffix,
            after: range.after,
            limit: range.limit,
            offset: range.offset,
        }
    }
}

impl From<registry::Service> for crate::registry::Service {
    fn from(service: registry::Service) -> Self {
        let nodes = service.nodes.into_iter().map(|node| crate::registry::Node {
            id: node.id,
            address: node.address,
            metadata: node.metadata,
        });
        Self {
            name: service.name,
            version: service.version,
            metadata: service.metadata,
            endpoints: service.endpoints.into_iter().map(Into::into).collect(),
            nodes: nodes.collect(),
        }
    }
}

impl From<registry::Change> for crate::registry::Change {
    fn from(change: registry::Change) -> Self {
        let action = match change.action {
            registry::Action::Create => crate::registry::Action::Create,
            registry::Action::Update => crate::registry::Action::Update,
            registry::Action::Delete => crate::registry::Action::Delete,
        };
        Self { action, service: change.service.into(), timestamp_ms: change.timestamp_ms }
    }
}

impl From<registry::Endpoint> for crate::registry::Endpoint {
    fn from(mut endpoint: registry::Endpoint) -> Self {
        Self {
            request: nested(&mut endpoint.values, endpoint.request, VALUE_DEPTH),
            response: nested(&mut endpoint.values, endpoint.response, VALUE_DEPTH),
            name: endpoint.name,
            metadata: endpoint.metadata,
        }
    }
}

/// A message, and fields nested three deep.
const VALUE_DEPTH: usize = 4;

/// Builds the tree that WIT carries as a list with indices, of what is in the list; one that points nowhere, or where
/// another pointed before, is an empty value.
fn nested(values: &mut [registry::Value], index: u32, depth: usize) -> crate::registry::Value {
    let Some(value) = values.get_mut(index as usize) else { return crate::registry::Value::default() };
    let (name, kind) = (std::mem::take(&mut value.name), std::mem::take(&mut value.kind));
    let fields = if depth > 1 { std::mem::take(&mut value.fields) } else { Vec::new() };
    let values = fields.into_iter().map(|field| nested(values, field, depth - 1)).collect();
    crate::registry::Value { name, kind, values }
}
