//! The control plane of one node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use micro_api::Namespace;
use micro_auth::Passwords;
use micro_db::Db;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::api::store;
use crate::{ActiveRevision, Config, Credentials, Elsewhere, Node, Plan, router, task};

/// Uploads received at once; more wait.
const UPLOADS_AT_ONCE: usize = 8;

/// The control plane: its API and its tasks.
pub struct Control {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) node: Arc<dyn Node>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) passwords: Arc<Passwords>,
    /// The access revision that this process has followed.
    access: watch::Sender<i64>,
    /// The revision as of which the node knows who may do what; none: a new node knows nothing. Held while it is told, so
    /// that what was read first is not told last, and set afterwards: whoever asked may be gone in the middle of it.
    told: Mutex<Option<i64>>,
    /// Where services elsewhere are registered.
    pub(crate) registrations: Arc<dyn Elsewhere>,
    /// What the node knows of them. Held while it is told.
    elsewhere: Mutex<Known>,
    /// Told when a job was added.
    builder: Arc<Notify>,
    /// Counts changes of the rows, whoever made them.
    changes: watch::Sender<u64>,
    /// What the rows say is active has been routed to once.
    resumed: watch::Sender<bool>,
    /// Something is under way, so changes of others are expected soon.
    pub(crate) busy: AtomicBool,
    /// Deployments that the node routes to. Held while what is routed and what the rows say are brought together.
    pub(crate) routed: Mutex<HashMap<String, ActiveRevision>>,
    /// What it routed to and does no more, until it is drained.
    pub(crate) departed: parking_lot::Mutex<Vec<ActiveRevision>>,
    /// Which change of them by whichever process was seen last, and when to look again all the same.
    pub(crate) followed: Mutex<Option<(i64, Option<Instant>)>>,
    /// Whether what this node has is its own.
    pub(crate) lease: task::lease::Lease,
    pub(crate) uploads: Semaphore,
    /// Runs of schedules that this process has.
    pub(crate) runs: task::schedule::Runs,
    /// Imports into the store that stand in the audit log.
    pub(crate) imports: store::import::Imports,
}

/// What the node was told last of services elsewhere.
#[derive(Default)]
struct Known {
    /// The revision it was read at; none: never.
    revision: Option<i64>,
    /// When the first node of them ends.
    ends: Option<Instant>,
}

impl Control {
    /// A control plane on `db` (whose schema is up to date) and `node`. `builder` is notified of each new job.
    pub fn new(
        config: Config,
        db: Db,
        node: Arc<dyn Node>,
        builder: Arc<Notify>,
        credentials: Arc<Credentials>,
        passwords: Arc<Passwords>,
    ) -> Arc<Self> {
        let registrations = config.elsewhere.clone().unwrap_or_else(|| Arc::new(db.clone()));
        Arc::new(Self {
            registrations,
            access: watch::Sender::new(credentials.revision()),
            told: Mutex::default(),
            elsewhere: Mutex::default(),
            config,
            db,
            node,
            credentials,
            passwords,
            builder,
            changes: watch::Sender::new(0),
            resumed: watch::Sender::new(false),
            busy: AtomicBool::new(true),
            routed: Mutex::default(),
            departed: parking_lot::Mutex::default(),
            followed: Mutex::default(),
            lease: task::lease::Lease::default(),
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
            runs: task::schedule::Runs::default(),
            imports: store::import::imports(),
        })
    }

    /// The API. `beside` are routes of others on the same address (`/rpc`); they get the same guard.
    pub fn router(self: &Arc<Self>, beside: Router) -> Router {
        router::router(self, beside)
    }

    /// Routes what the rows say is active, then reconciles until `stop`. Run it once a process.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let access = task::access::run(Arc::clone(&self), stop.clone());
        let registry = task::access::registry(Arc::clone(&self), stop.clone());
        let watcher = task::watch::run(Arc::clone(&self), stop.clone());
        let sweeper = task::sweep::run(Arc::clone(&self), stop.clone());
        let usage = task::usage::run(Arc::clone(&self), stop.clone());
        let schedules = task::schedule::run(Arc::clone(&self), stop.clone());
        // Others may have what was ours once nothing of it runs here any more.
        let ended = CancellationToken::new();
        let lease = task::lease::run(Arc::clone(&self), ended.clone());
        let reconciler = async {
            task::reconcile::run(Arc::clone(&self), stop).await;
            ended.cancel();
        };
        tokio::join!(access, registry, watcher, sweeper, usage, schedules, reconciler, lease);
    }

    /// Waits until [`Control::run`] has routed what the rows say is active: before that a call of a running service
    /// would find nothing.
    pub async fn resumed(&self) {
        // The sender lives in `self`, so this ends only with the change.
        let _ = self.resumed.subscribe().wait_for(|resumed| *resumed).await;
    }

    /// Whether [`Control::resumed`] would return at once.
    pub fn is_resumed(&self) -> bool {
        *self.resumed.borrow()
    }

    pub(crate) fn mark_resumed(&self) {
        self.resumed.send_replace(true);
    }

    /// Sees every change of access from now on.
    pub(crate) fn access_changes(&self) -> watch::Receiver<i64> {
        self.access.subscribe()
    }

    /// Looks whether access changed, and if so makes the node follow: called after each change of this process, and
    /// by a task for those of others.
    pub(crate) async fn follow_access(&self) -> Result<(), micro_db::Error> {
        let mut told = self.told.lock().await;
        let revision = self.credentials.refresh().await?;
        if *told != Some(revision) {
            self.node.tenants(self.db.tenants().await?).await;
            *told = Some(revision);
            self.access.send_replace(revision);
        }
        Ok(())
    }

    /// Looks whether services elsewhere changed or ended, and if so tells the node.
    pub(crate) async fn follow_registry(&self) -> Result<(), micro_api::Error> {
        let mut known = self.elsewhere.lock().await;
        let ended = known.ends.is_some_and(|at| Instant::now() >= at);
        let asked = Instant::now();
        if let Some(found) = self.registrations.since(known.revision.filter(|_| !ended)).await? {
            let left_ms = found.externals.iter().filter_map(|external| external.left_ms).min();
            let left = left_ms.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or_default()));
            self.node.externals(found.externals).await;
            *known = Known { revision: Some(found.revision), ends: left.map(|left| asked + left) };
        }
        Ok(())
    }

    /// What `namespace` may use.
    pub(crate) async fn plan_of(&self, namespace: &Namespace) -> Result<&Plan, micro_db::Error> {
        let plan = self.db.namespace_plan(namespace).await?;
        Ok(self.config.plans.of_namespace(namespace, plan.as_deref()))
    }

    /// Wakes the reconciler and all who wait for a deployment.
    pub(crate) fn poke(&self) {
        self.busy.store(true, Ordering::Relaxed);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// As [`Control::poke`], for a new job.
    pub(crate) fn poke_builder(&self) {
        self.builder.notify_one();
        self.poke();
    }

    /// Sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A change that the watcher saw: it says nothing of whether more will come.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}
