//! Configuration in memory, for tests and measurements.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use micro_api::Namespace;
use micro_api::config::{Document, Path};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::{Error, Snapshot, Source};

/// Holds what it was given.
pub struct Memory {
    held: Mutex<HashMap<Namespace, Own>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Own {
    snapshot: Arc<Snapshot>,
    secrets: HashMap<String, String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { held: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Memory {
    /// Replaces the namespace's document.
    pub fn set(&self, namespace: &Namespace, document: Document) {
        {
            let mut held = self.held.lock();
            let own = held.entry(namespace.clone()).or_default();
            let version = own.snapshot.version + 1;
            own.snapshot = Arc::new(Snapshot { version, document: Value::Object(document) });
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Sets a secret.
    pub fn set_secret(&self, namespace: &Namespace, path: &Path, text: &str) {
        let mut held = self.held.lock();
        held.entry(namespace.clone()).or_default().secrets.insert(path.to_string(), text.to_owned());
    }
}

#[async_trait]
impl Source for Memory {
    async fn get(&self, namespace: &Namespace) -> Result<Arc<Snapshot>, Error> {
        Ok(self.held.lock().get(namespace).map(|own| Arc::clone(&own.snapshot)).unwrap_or_default())
    }

    async fn secret(&self, namespace: &Namespace, path: &Path) -> Result<Option<String>, Error> {
        Ok(self.held.lock().get(namespace).and_then(|own| own.secrets.get(path.as_str()).cloned()))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
