//! Which backend each capability has, as the operator chose it: a new one is one arm here.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use micro_artifact::{Config, Store};
use micro_capability::store::{
    Backend, Memory, Postgres, PostgresConfig, Redis, RedisStoreConfig, Sqlite, SqliteConfig,
};
use micro_capability::{broker, events, registry, sync};

use crate::config::Options;
use crate::registrar::Registrar;
use crate::usage::Meters;

/// Largest store of one namespace in memory, bytes.
const MEMORY_STORE_BYTES_MAX: u64 = 256 << 20;

/// What services store.
pub(crate) async fn store(options: &Options, data: &Path, meters: &Meters) -> Result<Arc<dyn Backend>> {
    let books = Arc::clone(&meters.books);
    Ok(match (options.store.store.as_str(), options.store.url(options.db())) {
        ("memory", _) => Arc::new(Memory::with_books(MEMORY_STORE_BYTES_MAX, books)),
        ("postgres", Some(url)) => {
            let connections_max = options.store.store_connections;
            let config = PostgresConfig { connections_max, books, ..PostgresConfig::new(url) };
            Postgres::open(&config).await.context("open the store")?
        }
        ("redis", Some(url)) => {
            let mut config = RedisStoreConfig { books, ..RedisStoreConfig::new(url) };
            config.server.connections_max = usize::try_from(options.store.store_connections).unwrap_or(1);
            config.server.prefix.clone_from(&options.store.store_prefix);
            Redis::open(&config).await.context("open the store")?
        }
        _ => {
            let config = SqliteConfig { books, ..SqliteConfig::new(data.join("store")) };
            Sqlite::open(&config).context("open the store")?
        }
    })
}

/// The artifact store, with the bucket that nodes share where there is one.
pub(crate) async fn artifacts(options: &Options, data: &Path) -> Result<Store> {
    let (folder, url) = (data.join("artifacts"), options.artifacts.clone());
    let opened = tokio::task::spawn_blocking(move || Store::open(&Config::of(folder, url.as_deref())?));
    opened.await.context("open the artifact store")?.context("open the artifact store")
}

/// Messages.
pub(crate) async fn broker(options: &Options) -> Result<Arc<dyn broker::Backend>> {
    Ok(match (options.broker.broker.as_str(), &options.broker.broker_address) {
        ("redis", Some(url)) => {
            let mut config = broker::RedisBrokerConfig::new(url);
            config.server.prefix.clone_from(&options.broker.broker_prefix);
            broker::Redis::open(&config).await.context("open the broker")?
        }
        _ => Arc::new(broker::Memory::new(broker::MemoryConfig::default())),
    })
}

/// Locks and elections.
pub(crate) async fn locks(options: &Options) -> Result<Arc<dyn sync::Backend>> {
    Ok(match (options.sync.sync.as_str(), options.sync.url(options.db())) {
        ("postgres", Some(url)) => {
            sync::Postgres::open(&sync::PostgresConfig::new(url)).await.context("open the locks")?
        }
        ("redis", Some(url)) => {
            let mut config = sync::RedisSyncConfig::new(url);
            config.server.prefix.clone_from(&options.sync.sync_prefix);
            sync::Redis::open(&config).await.context("open the locks")?
        }
        _ => Arc::<sync::Memory>::default(),
    })
}

/// Events.
pub(crate) async fn events(
    options: &Options,
    data: &Path,
    meters: &Meters,
) -> Result<Arc<dyn events::Backend>> {
    let plans = Arc::clone(&meters.events);
    let config = match (options.events.events.as_str(), options.events.url(options.db())) {
        ("memory", _) => events::SqliteConfig { plans, ..events::SqliteConfig::memory() },
        ("postgres", Some(url)) => {
            let config = events::PostgresConfig { plans, ..events::PostgresConfig::new(url) };
            return Ok(events::Postgres::open(&config).await.context("open the events")?);
        }
        ("redis", Some(url)) => {
            let mut config = events::RedisEventsConfig { plans, ..events::RedisEventsConfig::new(url) };
            config.server.prefix.clone_from(&options.events.events_prefix);
            return Ok(events::Redis::open(&config).await.context("open the events")?);
        }
        _ => events::SqliteConfig { plans, ..events::SqliteConfig::new(data.join("events")) },
    };
    Ok(events::Sqlite::open(&config).context("open the events")?)
}

/// Services that run elsewhere; none: in the control data.
pub(crate) async fn registrations(options: &Options) -> Result<Option<Arc<dyn micro_control::Elsewhere>>> {
    let Some(url) = options.registry.redis() else { return Ok(None) };
    let mut config = registry::ElsewhereConfig::new(url, micro_db::external::NODES_MAX);
    config.server.prefix.clone_from(&options.registry.registry_prefix);
    let opened = registry::Elsewhere::open(&config).await.context("open the registry")?;
    Ok(Some(Arc::new(Registrar(opened))))
}
