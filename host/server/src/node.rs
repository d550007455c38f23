//! This process as control sees it: the runtime, the routing snapshot, the logs and the store behind one trait.

mod jobs;
mod routes;
mod schedules;
mod stats;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use micro_api::logs::LogRecord;
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::{
    Error, Namespace, ServiceKey, ServiceName, blob as files, broker as messages, events as logged, registry,
    store,
};
use micro_artifact::{Key, Store};
use micro_capability::registry::Teller;
use micro_capability::store::Admin;
use micro_capability::{Scope, blob, broker, events, log};
use micro_control::{
    ActiveRevision, Chunks, Lead, Load, LogQuery, NotRun, Plans, Scheduled, ScheduledCall, Unservable,
};
use micro_gateway::{Entry, Snapshot};
use micro_runtime::{Revision, Runtime};
use tokio::sync::{Mutex, Notify, watch};

use crate::directory::Directory;
use crate::usage::Meters;

use routes::Routed;

/// What the node needs; made once by `wire`.
pub(crate) struct Parts {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) logs: Arc<log::Logs>,
    pub(crate) store: Admin,
    pub(crate) blobs: blob::Admin,
    pub(crate) broker: broker::Admin,
    pub(crate) pumps: Arc<broker::Broker>,
    /// Tells changes of the registry.
    pub(crate) teller: Arc<Teller>,
    /// Calls services on the platform's behalf.
    pub(crate) caller: Arc<dyn broker::Deliver>,
    pub(crate) events: events::Admin,
    pub(crate) consumers: Arc<events::Consumers>,
    /// What tells this process from others on the same data.
    pub(crate) id: String,
    pub(crate) artifacts: Store,
    pub(crate) key: Key,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) egress: Arc<micro_capability::http::Egress>,
    pub(crate) meters: Meters,
    pub(crate) plans: Arc<Plans>,
    /// Where the gateway listens: what node entries show as their address.
    pub(crate) address: String,
    /// Told when this process changed a configuration.
    pub(crate) config_changed: Arc<Notify>,
}

/// The one node of this process.
pub(crate) struct Node {
    parts: Parts,
    /// Revisions that were started, by deployment, until they are drained.
    known: Mutex<HashMap<String, Arc<Known>>>,
    /// What the gateway was told last; a change of one half is published with the other.
    routed: Mutex<Routed>,
}

/// A revision that this node took up.
struct Known {
    active: ActiveRevision,
    revision: Arc<Revision>,
    /// What the gateway routes to; a job has none.
    entry: Option<Arc<Entry>>,
    schedules: Vec<Arc<Scheduled>>,
    /// `<service>-<uuid>`.
    id: String,
    /// When this node took it up, Unix milliseconds.
    started_ms: i64,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, known: Mutex::default(), routed: Mutex::default() }
    }

    /// The revision of a deployment, verified and configured at its first use. Nothing is loaded by this.
    async fn take_up(&self, active: &ActiveRevision) -> Result<Arc<Known>, Error> {
        let mut known = self.known.lock().await;
        if let Some(found) = known.get(&active.deployment) {
            return Ok(Arc::clone(found));
        }
        let prepared = Arc::new(self.prepare(active).await?);
        known.insert(active.deployment.clone(), Arc::clone(&prepared));
        Ok(prepared)
    }

    async fn prepare(&self, active: &ActiveRevision) -> Result<Known, Error> {
        let service = active.service.to_string();
        let (artifacts, key, digest) =
            (self.parts.artifacts.clone(), self.parts.key.clone(), active.revision);
        let verified =
            tokio::task::spawn_blocking(move || micro_artifact::verify(&artifacts, &key, &digest)).await;
        let verified = verified.map_err(|error| host_error(&service, error))?;
        let artifact = verified.map_err(|error| host_error(&service, error))?;
        let revision = self.parts.runtime.revision(artifact).map_err(|fault| {
            tracing::warn!(service, error = %fault, "Take a revision up");
            fault.error(&service, &active.deployment)
        })?;
        let entry = if revision.manifest().exports.is_job() {
            None
        } else {
            let entry = Entry::new(Arc::clone(&revision));
            Some(Arc::new(entry.map_err(|detail| Error::bad_request(&service, detail))?))
        };
        let id = format!("{service}-{}", uuid::Uuid::new_v4());
        let schedules = crate::schedules::of(active, revision.manifest());
        let started_ms = micro_db::now_ms();
        Ok(Known { active: active.clone(), revision, entry, schedules, id, started_ms })
    }

    /// Micro's lines of a service's start, in its own log. A job listens nowhere.
    fn log_start(&self, known: &Known) {
        let name = known.active.service.to_string();
        let mut lines = vec![format!("Starting [service] {name}")];
        if known.entry.is_some() {
            let folder = known.revision.manifest().static_files.as_ref();
            lines.extend(folder.map(|folder| format!("Enabling static file serving from {folder}")));
            lines.push(format!("Server [wasm] Listening on {}", self.parts.address));
            lines.push(format!("Registry [service] Registering node: {}", known.id));
        }
        for line in lines {
            self.parts.logs.platform(&scope(&known.active), "info", "", line);
        }
    }

    async fn of_service(&self, namespace: &Namespace, service: &ServiceName) -> Vec<Arc<Known>> {
        let snapshot = Arc::clone(&self.parts.snapshot.borrow());
        let known = self.known.lock().await;
        let of = |known: &&Arc<Known>| {
            known.active.namespace == *namespace
                && known.active.service == *service
                && known.is_routed(&snapshot)
        };
        let mut found: Vec<_> = known.values().filter(of).map(Arc::clone).collect();
        found.sort_by(|a, b| a.active.version.cmp(&b.active.version));
        found
    }
}

impl Known {
    /// Whether its version's calls go to it.
    fn is_routed(&self, snapshot: &Snapshot) -> bool {
        let active = &self.active;
        let key = ServiceKey { namespace: active.namespace.clone(), name: active.service.clone() };
        let current = snapshot.find(&key, Some(&active.version));
        matches!((&self.entry, current), (Some(entry), Some(current)) if Arc::ptr_eq(entry, current))
    }
}

pub(crate) fn scope(active: &ActiveRevision) -> Scope {
    Scope {
        namespace: active.namespace.clone(),
        service: active.service.clone(),
        version: active.version.clone(),
    }
}

/// The client learns that it was us; the operator's log says what.
fn host_error(service: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    tracing::error!(service, "The node failed: {:#}", anyhow::Error::new(error));
    Error::internal(service, "the platform could not load the service: its log on the server says why")
}

#[async_trait]
impl micro_control::Node for Node {
    async fn start(&self, active: &ActiveRevision) -> Result<(), Error> {
        let known = self.take_up(active).await?;
        let service = active.service.to_string();
        if let Err(fault) = self.parts.runtime.warm(&known.revision).await {
            tracing::warn!(service, error = %fault, "Warm a revision");
            self.parts.logs.platform(&scope(active), "error", "", fault.to_string());
            self.known.lock().await.remove(&active.deployment);
            return Err(fault.error(&service, &active.deployment));
        }
        self.log_start(&known);
        Ok(())
    }

    async fn publish(&self, active: Vec<ActiveRevision>) -> Vec<Unservable> {
        self.route(active).await
    }

    async fn tenants(&self, tenants: HashMap<Namespace, micro_db::Tenant>) {
        self.follow_tenants(tenants).await;
    }

    async fn externals(&self, externals: Vec<micro_db::External>) {
        self.follow_externals(externals).await;
    }

    async fn leads(&self, lead: Option<Lead>) {
        match lead {
            Some(lead) => self.parts.teller.lead(lead.until, lead.gap),
            None => self.parts.teller.rest(),
        }
    }

    async fn drain(&self, active: &ActiveRevision) {
        let Some(known) = self.known.lock().await.remove(&active.deployment) else { return };
        self.parts.runtime.drain(&known.revision).await;
    }

    async fn run_job(&self, active: &ActiveRevision) -> Result<i32, Error> {
        let known = self.take_up(active).await?;
        jobs::run(&self.parts.runtime, &known.revision, Vec::new(), active.deployment.clone()).await
    }

    async fn schedules(&self) -> Vec<Arc<Scheduled>> {
        self.scheduled().await
    }

    async fn run_schedule(&self, call: ScheduledCall) -> Result<(), NotRun> {
        self.run_scheduled(call).await
    }

    async fn logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogRecord>, Error> {
        Ok(self.parts.logs.tail(log::Tail {
            namespace: query.namespace,
            service: query.service,
            version: query.version,
            lines: query.lines,
            since_ms: query.since_ms,
            follow: query.follow,
        }))
    }

    async fn health(&self, namespace: &Namespace, service: &ServiceName) -> Vec<NodeHealth> {
        let found = self.of_service(namespace, service).await;
        let health = |known: &Arc<Known>| NodeHealth {
            service: service.to_string(),
            version: known.active.version.clone(),
            node: known.id.clone(),
            address: self.parts.address.clone(),
            status: "ok".to_owned(),
        };
        found.iter().map(health).collect()
    }

    async fn stats(&self, namespace: &Namespace, service: &ServiceName) -> Vec<NodeStats> {
        let found = self.of_service(namespace, service).await;
        found.iter().map(|known| self.read_stats(service, known)).collect()
    }

    async fn load(&self, namespace: &Namespace) -> Load {
        self.read_load(namespace).await
    }

    async fn registry_list(&self, namespace: &Namespace) -> Vec<String> {
        self.parts.directory.names(namespace)
    }

    async fn registry_get(&self, namespace: &Namespace, service: &ServiceName) -> Vec<registry::Service> {
        let found = self.parts.directory.records(namespace, service);
        found.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    async fn registry_watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        wait: Duration,
    ) -> registry::Changes {
        self.parts.directory.log().watch(namespace, service, after, wait).await
    }

    async fn config_changed(&self) {
        self.parts.config_changed.notify_one();
    }

    async fn blob_put(
        &self,
        namespace: &Namespace,
        put: files::Put,
        body: Chunks,
    ) -> Result<files::Info, Error> {
        self.parts.blobs.put(namespace, put, body).await
    }

    async fn blob_get(&self, namespace: &Namespace, at: &files::At) -> Result<(files::Info, Chunks), Error> {
        self.parts.blobs.get(namespace, &at.service, &at.key).await
    }

    async fn blob_url(&self, namespace: &Namespace, new: files::NewUrl) -> Result<files::BlobUrl, Error> {
        self.parts.blobs.url(namespace, &new).await
    }

    async fn blob_delete(&self, namespace: &Namespace, at: &files::At) -> Result<(), Error> {
        self.parts.blobs.delete(namespace, &at.service, &at.key).await
    }

    async fn blob_list(&self, namespace: &Namespace, query: files::Query) -> Result<Vec<files::Info>, Error> {
        self.parts.blobs.list(namespace, &query).await
    }

    async fn store_read(
        &self,
        namespace: &Namespace,
        table: &str,
        query: store::Query,
    ) -> Result<Vec<store::Record>, Error> {
        self.parts.store.read(namespace, table, query).await
    }

    async fn store_list(
        &self,
        namespace: &Namespace,
        table: &str,
        query: store::Query,
    ) -> Result<Vec<String>, Error> {
        self.parts.store.list(namespace, table, query).await
    }

    async fn store_write(
        &self,
        namespace: &Namespace,
        table: &str,
        write: store::Write,
    ) -> Result<(), Error> {
        self.parts.store.write(namespace, table, write).await
    }

    async fn store_delete(&self, namespace: &Namespace, table: &str, key: &str) -> Result<(), Error> {
        self.parts.store.delete(namespace, table, key).await
    }

    async fn store_export(
        &self,
        namespace: &Namespace,
        table: &str,
        export: store::Export,
    ) -> Result<store::Page, Error> {
        self.parts.store.export(namespace, table, export).await
    }

    async fn store_import(
        &self,
        namespace: &Namespace,
        table: &str,
        import: store::Import,
    ) -> Result<store::Imported, Error> {
        self.parts.store.import(namespace, table, import).await
    }

    async fn store_databases(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        Ok(vec![namespace.to_string()])
    }

    async fn store_tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        self.parts.store.tables(namespace).await
    }

    async fn broker_publish(&self, namespace: &Namespace, publish: messages::Publish) -> Result<(), Error> {
        self.parts.broker.publish(namespace, publish).await
    }

    async fn broker_groups(&self, namespace: &Namespace) -> Result<Vec<messages::Group>, Error> {
        self.parts.broker.groups(namespace).await
    }

    async fn broker_forget(&self, namespace: &Namespace, topic: &str, queue: &str) -> Result<(), Error> {
        self.parts.broker.forget(namespace, topic, queue).await
    }

    async fn broker_dead(
        &self,
        namespace: &Namespace,
        filter: messages::Filter,
        limit: usize,
    ) -> Result<Vec<messages::Dead>, Error> {
        self.parts.broker.dead(namespace, filter, limit).await
    }

    async fn broker_redrive(
        &self,
        namespace: &Namespace,
        filter: messages::Filter,
    ) -> Result<messages::Moved, Error> {
        self.parts.broker.redrive(namespace, filter).await
    }

    async fn broker_discard(
        &self,
        namespace: &Namespace,
        filter: messages::Filter,
    ) -> Result<messages::Moved, Error> {
        self.parts.broker.discard(namespace, filter).await
    }

    async fn events_publish(
        &self,
        namespace: &Namespace,
        publish: logged::Publish,
    ) -> Result<logged::Published, Error> {
        self.parts.events.publish(namespace, publish).await
    }

    async fn events_read(
        &self,
        namespace: &Namespace,
        topic: &str,
        from: logged::Offset,
        limit: usize,
    ) -> Result<Vec<logged::Event>, Error> {
        self.parts.events.read(namespace, topic, from, limit).await
    }

    async fn events_stream(
        &self,
        namespace: &Namespace,
        topic: &str,
        from: logged::Offset,
    ) -> Result<BoxStream<'static, Result<logged::Event, Error>>, Error> {
        self.parts.events.stream(namespace, topic, from)
    }

    async fn events_consume(
        &self,
        namespace: &Namespace,
        consume: logged::Consume,
    ) -> Result<logged::Consumed, Error> {
        self.parts.events.consume(namespace, consume).await
    }

    async fn events_ack(&self, namespace: &Namespace, ack: logged::Ack) -> Result<(), Error> {
        self.parts.events.ack(namespace, ack).await
    }

    async fn events_groups(&self, namespace: &Namespace, topic: &str) -> Result<Vec<logged::Group>, Error> {
        self.parts.events.groups(namespace, topic).await
    }
}
