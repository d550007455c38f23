//! Configuration and secrets of the namespace, read by services and written by people.

mod host;
mod memory;
mod reader;
#[cfg(test)]
mod tests;
mod wasi;

use std::sync::Arc;

use async_trait::async_trait;
use micro_api::Namespace;
use micro_api::config::Path;
use serde_json::Value;
use tokio::sync::watch;

pub use memory::Memory;
pub(crate) use reader::Reader;
pub(crate) use wasi::add_to_linker as add_wasi_to_linker;

/// What a namespace has, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// 0: nothing was ever set.
    pub version: u64,
    /// An object; without secrets.
    pub document: Value,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { version: 0, document: Value::Object(serde_json::Map::new()) }
    }
}

/// Why a read failed. No text from inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What is not known on this node cannot be asked for now.
    #[error("the configuration of this namespace cannot be read at the moment: try again")]
    Away,
    /// A secret does not open.
    #[error("the secret cannot be opened: the platform's operator finds the reason in the server's log")]
    Sealed,
}

/// Where configuration comes from. What was read once is answered from memory, also while what lies behind is away, and
/// follows each change within a second.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// All of a namespace but its secrets.
    async fn get(&self, namespace: &Namespace) -> Result<Arc<Snapshot>, Error>;

    /// The text of a secret.
    async fn secret(&self, namespace: &Namespace, path: &Path) -> Result<Option<String>, Error>;

    /// Sees every change from now on, of whatever namespace.
    fn changes(&self) -> watch::Receiver<u64>;
}
