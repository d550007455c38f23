//! What the platform keeps for a revision's instances.

use std::sync::Arc;

use micro_api::manifest::Manifest;
use tokio::sync::Semaphore;

use crate::grant::Rules;
use crate::{
    GrantError, Granted, Scope, Tallies, Tally, blob, broker, client, config, events, http, log, registry,
    store, sync,
};

/// Outbound HTTP calls that one instance may have open at once, unless the manifest lowers it.
const OUTBOUND_PER_INSTANCE: usize = 16;

/// The backends, wired once per process.
pub struct Capabilities {
    /// Files.
    pub blobs: Arc<blob::Blobs>,
    /// Messages between services.
    pub broker: Arc<dyn broker::Backend>,
    /// Key-value store.
    pub store: Arc<dyn store::Backend>,
    /// Logs of services.
    pub logs: Arc<log::Logs>,
    /// Calls to other services.
    pub client: Arc<dyn client::Caller>,
    /// Configuration and secrets.
    pub config: Arc<dyn config::Source>,
    /// Events of namespaces.
    pub events: Arc<dyn events::Backend>,
    /// What runs.
    pub registry: Arc<dyn registry::Directory>,
    /// Locks and leaders.
    pub sync: Arc<dyn sync::Backend>,
    /// Outbound HTTP.
    pub egress: Arc<http::Egress>,
    /// What services use.
    pub tallies: Arc<Tallies>,
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capabilities").finish_non_exhaustive()
    }
}

impl Capabilities {
    /// All in memory, with an empty registry and a store of 1 MiB a namespace: what tests and measurements begin with.
    ///
    /// # Errors
    /// When SQLite makes no log of events in memory.
    pub fn in_memory(
        logs: Arc<log::Logs>,
        client: Arc<dyn client::Caller>,
        egress: Arc<http::Egress>,
    ) -> Result<Self, events::Error> {
        Ok(Self {
            blobs: Arc::new(blob::Blobs::memory()),
            broker: Arc::new(broker::Memory::new(broker::MemoryConfig::default())),
            store: Arc::new(store::Memory::new(1 << 20)),
            logs,
            client,
            config: Arc::<config::Memory>::default(),
            events: events::Sqlite::open(&events::SqliteConfig::memory())?,
            registry: Arc::new(registry::Empty),
            sync: Arc::<sync::Memory>::default(),
            egress,
            tallies: Arc::default(),
        })
    }
}

/// One revision as the capabilities see it: whose it is and what it was granted. Made once when the revision is
/// configured, shared by all its instances.
#[derive(Debug)]
pub struct Guest {
    pub(crate) scope: Scope,
    /// Its own table in the store.
    pub(crate) table: store::TableKey,
    pub(crate) rules: Rules,
    /// What it may read of its namespace's configuration.
    pub(crate) config: config::Reader,
    pub(crate) capabilities: Arc<Capabilities>,
    tally: Arc<Tally>,
    /// Outbound HTTP calls at once, over all instances of the service.
    pub(crate) outbound_service: Arc<Semaphore>,
    /// The same in one instance.
    pub(crate) outbound_instance_max: usize,
}

impl Guest {
    /// Checks the manifest's grants and limits.
    ///
    /// # Errors
    /// A grant that no capability understands.
    pub fn configure(
        scope: Scope,
        manifest: &Manifest,
        capabilities: Arc<Capabilities>,
    ) -> Result<Arc<Self>, GrantError> {
        let rules = Rules::new(&manifest.grants)?;
        let outbound_service = capabilities.egress.permits(&scope.key());
        let lowered = manifest.limits.outbound.map_or(OUTBOUND_PER_INSTANCE, |max| max as usize);
        let config = config::Reader::new(&scope.service, manifest)?;
        let tally = capabilities.tallies.of(&scope.namespace, &scope.service);
        Ok(Arc::new(Self {
            tally,
            table: store::TableKey::own(&scope),
            scope,
            rules,
            config,
            capabilities,
            outbound_service,
            outbound_instance_max: lowered.min(OUTBOUND_PER_INSTANCE),
        }))
    }

    /// The service version that the instances belong to.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Which interfaces are linked.
    pub fn granted(&self) -> Granted {
        self.rules.granted
    }

    /// What the service uses.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// The process's backends.
    pub fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }
}
