//! Configuration of namespaces in this node's memory.
//!
//! A namespace's is read from the database when a service first asks for it, and again when it changed: one number
//! tells, twice a second, that any did ([`Db::config_revision`]), and then which ones. A read asks no database but the
//! first one, and what is known stays answered while the database is away. Secrets are held as they are stored, sealed.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_api::Namespace;
use micro_api::config::Path;
use micro_auth::Sealer;
use micro_capability::config::{Error, Snapshot, Source};
use micro_control::Vault;
use micro_db::{Db, HeldConfig, SealedSecret};
use moka::ops::compute::Op;
use moka::sync::Cache;
use serde_json::Value;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// How often the number is read.
const EVERY: Duration = Duration::from_millis(500);
/// Memory of all that is known, bytes, as estimated.
const KNOWN_BYTES_MAX: u64 = 128 << 20;
/// A parsed document takes about so many times the bytes of its text.
const PARSED_FACTOR: usize = 4;
/// Namespaces read at once.
const READS_MAX: usize = 4;
/// How often one that changes while it is read is read again.
const READ_TRIES: usize = 3;

/// What services of this node read.
pub(crate) struct Configs {
    db: Db,
    sealer: Arc<Sealer>,
    known: Cache<Namespace, Arc<Known>>,
    reads: Semaphore,
    changes: watch::Sender<u64>,
    /// Up to which number the namespaces that are known were brought. Held while they are.
    followed: Mutex<i64>,
    /// The number that they are being brought to. Set before one looks at what is known, so that whoever adds to it
    /// meanwhile notices.
    seen: AtomicI64,
    wake: Arc<Notify>,
}

/// One namespace's.
struct Known {
    snapshot: Arc<Snapshot>,
    sealed_key: String,
    /// Sealed, by path.
    secrets: HashMap<String, String>,
    /// Of it in memory, as estimated.
    bytes: u32,
}

impl From<HeldConfig> for Known {
    fn from(held: HeldConfig) -> Self {
        let document = Value::Object(held.document);
        let secrets: HashMap<_, _> =
            held.secrets.into_iter().map(|secret| (secret.name, secret.sealed)).collect();
        let sealed: usize = secrets.iter().map(|(name, sealed)| name.len() + sealed.len()).sum();
        let bytes = document.to_string().len() * PARSED_FACTOR + sealed;
        let version = u64::try_from(held.version).unwrap_or_default();
        Self {
            snapshot: Arc::new(Snapshot { version, document }),
            sealed_key: held.sealed_key,
            secrets,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }
}

impl Configs {
    /// Knows nothing yet.
    pub(crate) async fn open(db: Db, sealer: Arc<Sealer>) -> Result<Arc<Self>, micro_db::Error> {
        let revision = db.config_revision().await?;
        let known = Cache::builder()
            .max_capacity(KNOWN_BYTES_MAX)
            .weigher(|namespace: &Namespace, known: &Arc<Known>| {
                known.bytes.saturating_add(u32::try_from(namespace.as_str().len()).unwrap_or(u32::MAX))
            })
            .build();
        Ok(Arc::new(Self {
            db,
            sealer,
            known,
            reads: Semaphore::new(READS_MAX),
            changes: watch::Sender::new(0),
            followed: Mutex::new(revision),
            seen: AtomicI64::new(revision),
            wake: Arc::default(),
        }))
    }

    /// Makes [`Configs::run`] look at once.
    pub(crate) fn woken_by(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Follows changes until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut away = false;
        loop {
            match self.follow().await {
                Ok(()) => away = false,
                Err(error) => {
                    if !away {
                        tracing::warn!(
                            "Changes of configuration cannot be read: {:#}",
                            anyhow::Error::new(error)
                        );
                    }
                    away = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Brings what is known up to date.
    async fn follow(&self) -> Result<(), micro_db::Error> {
        let mut followed = self.followed.lock().await;
        let newest = self.db.config_revision().await?;
        if newest == *followed {
            return Ok(());
        }
        self.seen.store(newest, Ordering::SeqCst);
        let mut after = *followed;
        if newest < after {
            // Another database took the place of the one that was read: nothing of it is known.
            self.known.invalidate_all();
            after = newest;
        }
        loop {
            let changed = self.db.config_changed(after).await?;
            let Some((last, _)) = changed.last() else { break };
            after = *last;
            for (_, namespace) in &changed {
                if self.known.contains_key(namespace) {
                    self.keep(namespace, self.db.config(namespace).await?);
                }
            }
        }
        *followed = newest;
        drop(followed);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Keeps what was read, unless something newer is known by now.
    fn keep(&self, namespace: &Namespace, held: HeldConfig) -> Arc<Known> {
        let read = Arc::new(Known::from(held));
        let kept = Arc::clone(&read);
        self.known.entry(namespace.clone()).and_compute_with(|known| match known {
            Some(known) if known.value().snapshot.version > read.snapshot.version => Op::Nop,
            _ => Op::Put(kept),
        });
        read
    }

    async fn known(&self, namespace: &Namespace) -> Result<Arc<Known>, Error> {
        if let Some(known) = self.known.get(namespace) {
            return Ok(known);
        }
        let _permit = self.reads.acquire().await.map_err(|_| Error::Away)?;
        if let Some(known) = self.known.get(namespace) {
            return Ok(known);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let before = self.seen.load(Ordering::SeqCst);
            let held = self.db.config(namespace).await.map_err(|error| {
                // That the database is away is told once, by whoever follows changes.
                tracing::debug!("A configuration cannot be read: {:#}", anyhow::Error::new(error));
                Error::Away
            })?;
            let read = self.keep(namespace, held);
            // Else somebody looked at what is known before this was, and may have left it out.
            if tries >= READ_TRIES || self.seen.load(Ordering::SeqCst) == before {
                return Ok(self.known.get(namespace).unwrap_or(read));
            }
        }
    }
}

#[async_trait]
impl Source for Configs {
    async fn get(&self, namespace: &Namespace) -> Result<Arc<Snapshot>, Error> {
        Ok(Arc::clone(&self.known(namespace).await?.snapshot))
    }

    async fn secret(&self, namespace: &Namespace, path: &Path) -> Result<Option<String>, Error> {
        let known = self.known(namespace).await?;
        let Some(sealed) = known.secrets.get(path.as_str()) else { return Ok(None) };
        let secret = SealedSecret { name: path.to_string(), sealed: sealed.clone() };
        let vault = Vault::open(&self.sealer, namespace, &known.sealed_key);
        match vault.and_then(|vault| vault.text(&secret)) {
            Ok(text) => Ok(Some(text.expose().to_owned())),
            Err(error) => {
                tracing::error!(namespace = %namespace, %error, "A secret does not open");
                Err(Error::Sealed)
            }
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
