//! How a call gets its instance: one that waits, one that has room, or the right to make one.

use std::sync::{Arc, Weak};

use micro_api::manifest::Reuse;
use micro_artifact::{Package, Wasi};
use micro_capability::{Context, Full};

use crate::concurrent::{Work, Worker};
use crate::fault::{Fault, SPACE_INSTANCES, SPACE_MEMORY};
use crate::instance::{Export, Launch, Start};
use crate::meter::Meter;
use crate::revision::Revision;
use crate::runtime::Runtime;

impl Runtime {
    /// Several calls in one instance need component-model async: other components are reused one call at a time.
    pub(crate) fn is_concurrent(&self, revision: &Revision, export: Export) -> bool {
        let exports = &revision.manifest().exports;
        let asynchronous = match export {
            Export::Handler => exports.handler == Some(Package::Platform),
            Export::Http => exports.http == Some(Wasi::P3),
            Export::Run => false,
        };
        asynchronous && revision.policy() == Reuse::Concurrent
    }

    pub(crate) async fn start(
        &self,
        revision: &Arc<Revision>,
        export: Export,
        context: &Context,
    ) -> Result<Start, Fault> {
        if revision.policy() == Reuse::Fresh {
            return self.fresh(revision, export, context, Launch::default()).await;
        }
        loop {
            let returned = revision.returned.notified();
            if let Some(instance) = revision.take_idle(export) {
                revision.touch();
                return Ok(Start::Reuse(instance));
            }
            // Room for a new instance, or one that comes back, whichever is first.
            tokio::select! {
                biased;
                fresh = self.fresh(revision, export, context, Launch::default()) => return fresh,
                () = returned => {}
            }
        }
    }

    pub(crate) async fn fresh(
        &self,
        revision: &Arc<Revision>,
        export: Export,
        context: &Context,
        launch: Launch,
    ) -> Result<Start, Fault> {
        let waiting = async {
            let loaded = self.loader.load(self, revision).await?;
            if !loaded.has(export) {
                return Err(Fault::NoSuchExport(export.name()));
            }
            let space = revision.guest().tally().space();
            if self.gate.is_full() {
                self.reclaim(|_| true);
            } else if !space.has_room() {
                self.reclaim(|other| Arc::ptr_eq(other.guest().tally().space(), space));
            }
            let permit = self.gate.enter(&revision.lane().key, space).await?;
            Ok(Start::Fresh {
                permit,
                loaded,
                meter: Arc::new(Meter::new(Arc::clone(revision.guest().tally()))),
                launch,
            })
        };
        let left = tokio::time::timeout_at(context.deadline.into(), waiting).await;
        let start = left.unwrap_or_else(|_| {
            let full = revision.guest().tally().space().full_of();
            Err(Fault::Saturated(match full {
                Some(Full::Instances) => SPACE_INSTANCES,
                Some(Full::Memory) => SPACE_MEMORY,
                None => "calls waiting for an instance",
            }))
        });
        start.inspect_err(|fault| revision.log_fault(fault, &context.request_id))
    }

    /// Gives a call to an instance that has room, or to a new one, for which it waits until the deadline of `head`.
    pub(crate) async fn offer(
        &self,
        revision: &Arc<Revision>,
        export: Export,
        head: &Context,
        context: &Arc<Context>,
        work: Work,
    ) -> Result<Arc<Worker>, Fault> {
        let at_once = self.config.concurrent_calls;
        let work = match offer_to_any(revision, export, at_once, context, work) {
            Ok(worker) => return Ok(worker),
            Err(work) => work,
        };
        let start = self.fresh(revision, export, head, Launch::default()).await?;
        // While this call waited, another may have made room.
        let work = match offer_to_any(revision, export, at_once, context, work) {
            Ok(worker) => return Ok(worker),
            Err(work) => work,
        };
        start.meter().begin(revision.limits().cpu, self.config.front_cpu);
        let worker = Worker::start(revision, start, export, at_once, context);
        let refused = worker.offer(export, at_once, context, work);
        revision.workers.lock().push(Arc::clone(&worker));
        refused.map_err(|_| Fault::Saturated("calls waiting for an instance")).map(|()| worker)
    }

    /// Drops an idle instance of one of those, so that a service which has work can have its place.
    fn reclaim(&self, of: impl Fn(&Revision) -> bool) {
        let warm: Vec<_> = self.warm.lock().iter().filter_map(Weak::upgrade).collect();
        let oldest = warm.iter().filter(|revision| of(revision)).max_by_key(|revision| revision.idle_age());
        if let Some(revision) = oldest {
            revision.drop_oldest();
        }
    }
}

fn offer_to_any(
    revision: &Revision,
    export: Export,
    at_once: usize,
    context: &Arc<Context>,
    mut work: Work,
) -> Result<Arc<Worker>, Work> {
    let workers = revision.workers.lock();
    for worker in workers.iter() {
        match worker.offer(export, at_once, context, work) {
            Ok(()) => {
                revision.touch();
                return Ok(Arc::clone(worker));
            }
            Err(back) => work = back,
        }
    }
    Err(work)
}
