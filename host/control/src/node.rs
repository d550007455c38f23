//! What control needs of the node it lives on, in control's own words. The server implements it, so control sees neither
//! the runtime nor the gateway nor a capability.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use micro_api::logs::LogRecord;
use micro_api::manifest::Schedule;
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::{Error, Namespace, ServiceName, blob, broker, events, registry, store};
use micro_artifact::Digest;
use micro_db::{External, Tenant};

use crate::Load;

/// Bytes in order, of a body.
pub type Chunks = BoxStream<'static, Result<axum::body::Bytes, Error>>;

/// A revision that serves or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRevision {
    pub namespace: Namespace,
    pub service: ServiceName,
    pub version: String,
    /// Digest of its signed manifest.
    pub revision: Digest,
    /// The deployment that made it active.
    pub deployment: String,
    /// When it was started, Unix milliseconds.
    pub started_ms: i64,
    /// When its deployment last changed, Unix milliseconds.
    pub updated_ms: i64,
}

/// Which lines of a service's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub namespace: Namespace,
    pub service: ServiceName,
    /// Absent: all versions.
    pub version: Option<String>,
    /// At most this many lines of the past.
    pub lines: usize,
    /// Only lines from this time on, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Go on with new lines until the reader leaves.
    pub follow: bool,
}

/// A revision that [`Node::publish`] could not route to, because it cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unservable {
    pub deployment: String,
    pub error: Error,
}

/// A schedule of a revision that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    pub namespace: Namespace,
    pub service: ServiceName,
    pub version: String,
    /// When its deployment was started, Unix milliseconds.
    pub started_ms: i64,
    /// As its manifest says.
    pub schedule: Schedule,
}

/// A run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledCall {
    pub namespace: Namespace,
    pub service: ServiceName,
    pub version: String,
    /// `Service.Method`; empty: the job is started.
    pub endpoint: String,
    /// What the service is told of the run.
    pub metadata: Vec<(String, String)>,
    /// The run's id.
    pub request_id: String,
}

/// This node does what one does for all: tell changes of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// No longer than until then, unless it hears of it again.
    pub until: tokio::time::Instant,
    /// For so long before, nobody was sure to do it.
    pub gap: Duration,
}

/// Why a run of a schedule did not end well.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRun {
    /// It was not begun, and that is no failure: a budget of the namespace is used up.
    #[error("{0}")]
    Skipped(Error),
    /// It ended with an error, or could not begin.
    #[error("{0}")]
    Failed(Error),
}

impl From<Error> for NotRun {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The node, as control sees it. Errors are for clients: no text from inside the host.
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// Loads a revision and makes it ready for its first call. Nothing is routed to it yet. May be called again for one
    /// that is ready.
    async fn start(&self, revision: &ActiveRevision) -> Result<(), Error>;

    /// Makes `active` the whole of what can be called, looked up and started by schedules, in one step. Jobs that run once
    /// are never in it. Revisions that
    /// stay are not disturbed. Returns those that cannot serve; all others do.
    async fn publish(&self, active: Vec<ActiveRevision>) -> Vec<Unservable>;

    /// Makes `tenants` what the gateway decides by: rules, plans, blocks. A namespace that is not in it has none.
    async fn tenants(&self, tenants: HashMap<Namespace, Tenant>);

    /// Makes `externals` the whole of what runs elsewhere and can be called and looked up. Where a revision of the same
    /// name and version runs here, that one answers.
    async fn externals(&self, externals: Vec<External>);

    /// From now on it does what one node does for all; none: another does.
    async fn leads(&self, _lead: Option<Lead>) {}

    /// Waits until no call runs in a revision that is no longer routed to, within bounds of the node's own, and lets go
    /// of it. Returns at once for one the node does not know.
    async fn drain(&self, revision: &ActiveRevision);

    /// Runs a job to its end; the exit code. Dropping the future ends the job.
    async fn run_job(&self, revision: &ActiveRevision) -> Result<i32, Error>;

    /// The schedules of what is routed to. One that stays is the same `Arc` at each question.
    async fn schedules(&self) -> Vec<Arc<Scheduled>>;

    /// Calls the endpoint with an empty message and waits for the answer, within the service's own time limit; or starts
    /// the job and waits for its end. The call is the platform's: of no account, so no rule is asked. Dropping the future
    /// ends it. It counts as a request of the month.
    async fn run_schedule(&self, call: ScheduledCall) -> Result<(), NotRun>;

    /// Lines of a log, oldest first. A service without a log has an empty one.
    async fn logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogRecord>, Error>;

    /// Health of the node entries of a service; empty when it does not run.
    async fn health(&self, namespace: &Namespace, service: &ServiceName) -> Vec<NodeHealth>;

    /// Statistics of the node entries of a service; empty when it does not run.
    async fn stats(&self, namespace: &Namespace, service: &ServiceName) -> Vec<NodeStats>;

    /// What the instances and the events of `namespace` hold now. What does not answer holds nothing.
    async fn load(&self, namespace: &Namespace) -> Load;

    /// Short names of what `namespace` can look up, the platform's own services included.
    async fn registry_list(&self, namespace: &Namespace) -> Vec<String>;

    /// One record a version; empty when nothing of that name runs.
    async fn registry_get(&self, namespace: &Namespace, service: &ServiceName) -> Vec<registry::Service>;

    /// What changed in what `namespace` can look up, after the place `after`; waits for up to `wait` where nothing did.
    /// All that is there without a place, or with one that is not known any more.
    async fn registry_watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        wait: Duration,
    ) -> registry::Changes;

    /// The configuration of some namespace changed by this process: services read it from now on. Changes of others are
    /// found by the node itself.
    async fn config_changed(&self) {}

    /// Puts a blob from `body`; it survives a crash when this returns. Dropped before, nothing is kept.
    async fn blob_put(
        &self,
        namespace: &Namespace,
        put: blob::Put,
        body: Chunks,
    ) -> Result<blob::Info, Error>;

    /// A blob and its bytes; 404 `not found`.
    async fn blob_get(&self, namespace: &Namespace, at: &blob::At) -> Result<(blob::Info, Chunks), Error>;

    /// Where the gateway answers a blob; 404 `not found`, 400 without a time where it is not public.
    async fn blob_url(&self, namespace: &Namespace, new: blob::NewUrl) -> Result<blob::BlobUrl, Error>;

    /// Deletes a blob; a missing one is no error.
    async fn blob_delete(&self, namespace: &Namespace, at: &blob::At) -> Result<(), Error>;

    /// One page of a service's blobs, in key order.
    async fn blob_list(&self, namespace: &Namespace, query: blob::Query) -> Result<Vec<blob::Info>, Error>;

    /// Reads records in key order. An exact read of a missing key is a 404 `not found`.
    async fn store_read(
        &self,
        namespace: &Namespace,
        table: &str,
        query: store::Query,
    ) -> Result<Vec<store::Record>, Error>;

    /// Keys in order.
    async fn store_list(
        &self,
        namespace: &Namespace,
        table: &str,
        query: store::Query,
    ) -> Result<Vec<String>, Error>;

    /// Writes a record; it survives a crash when this returns.
    async fn store_write(&self, namespace: &Namespace, table: &str, write: store::Write)
    -> Result<(), Error>;

    /// Deletes a record; a missing one is no error.
    async fn store_delete(&self, namespace: &Namespace, table: &str, key: &str) -> Result<(), Error>;

    /// A page of a table, in key order.
    async fn store_export(
        &self,
        namespace: &Namespace,
        table: &str,
        export: store::Export,
    ) -> Result<store::Page, Error>;

    /// Writes a batch of records; they survive a crash when this returns.
    async fn store_import(
        &self,
        namespace: &Namespace,
        table: &str,
        import: store::Import,
    ) -> Result<store::Imported, Error>;

    /// Databases that `namespace` may see: its own.
    async fn store_databases(&self, namespace: &Namespace) -> Result<Vec<String>, Error>;

    /// Tables of `namespace`.
    async fn store_tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error>;

    /// Publishes to whoever subscribed in `namespace`.
    async fn broker_publish(&self, namespace: &Namespace, publish: broker::Publish) -> Result<(), Error>;

    /// Groups of subscribers, with their backlogs.
    async fn broker_groups(&self, namespace: &Namespace) -> Result<Vec<broker::Group>, Error>;

    /// Ends a group of a queue with its messages; 404 when there is none.
    async fn broker_forget(&self, namespace: &Namespace, topic: &str, queue: &str) -> Result<(), Error>;

    /// Messages that were given up, oldest first; a `limit` of 0 is the node's own.
    async fn broker_dead(
        &self,
        namespace: &Namespace,
        filter: broker::Filter,
        limit: usize,
    ) -> Result<Vec<broker::Dead>, Error>;

    /// Lets messages that were given up be delivered anew.
    async fn broker_redrive(
        &self,
        namespace: &Namespace,
        filter: broker::Filter,
    ) -> Result<broker::Moved, Error>;

    /// Deletes messages that were given up.
    async fn broker_discard(
        &self,
        namespace: &Namespace,
        filter: broker::Filter,
    ) -> Result<broker::Moved, Error>;

    /// Appends an event.
    async fn events_publish(
        &self,
        namespace: &Namespace,
        publish: events::Publish,
    ) -> Result<events::Published, Error>;

    /// A page of a topic's history.
    async fn events_read(
        &self,
        namespace: &Namespace,
        topic: &str,
        from: events::Offset,
        limit: usize,
    ) -> Result<Vec<events::Event>, Error>;

    /// A topic's history, then what comes. An error is the last item.
    async fn events_stream(
        &self,
        namespace: &Namespace,
        topic: &str,
        from: events::Offset,
    ) -> Result<BoxStream<'static, Result<events::Event, Error>>, Error>;

    /// Takes events in a group's name.
    async fn events_consume(
        &self,
        namespace: &Namespace,
        consume: events::Consume,
    ) -> Result<events::Consumed, Error>;

    /// Settles a delivery; 404 when it is over.
    async fn events_ack(&self, namespace: &Namespace, ack: events::Ack) -> Result<(), Error>;

    /// A topic's groups.
    async fn events_groups(&self, namespace: &Namespace, topic: &str) -> Result<Vec<events::Group>, Error>;
}
