//! What runs at set times on this node.

use std::sync::Arc;

use micro_api::Error;
use micro_control::{NotRun, Scheduled, ScheduledCall};

use super::{Known, Node, jobs};
use crate::schedules;

impl Node {
    /// The schedules of what is routed here, and of jobs.
    pub(super) async fn scheduled(&self) -> Vec<Arc<Scheduled>> {
        let jobs = self.routed.lock().await.jobs.clone();
        let snapshot = Arc::clone(&self.parts.snapshot.borrow());
        let known = self.known.lock().await;
        let counts = |known: &Known| known.is_routed(&snapshot) || jobs.contains(&known.active.deployment);
        let due = known.values().filter(|known| !known.schedules.is_empty() && counts(known));
        due.flat_map(|known| known.schedules.iter().map(Arc::clone)).collect()
    }

    /// Calls the endpoint of a schedule, or runs its job.
    pub(super) async fn run_scheduled(&self, call: ScheduledCall) -> Result<(), NotRun> {
        if !call.endpoint.is_empty() {
            let delivered = self.parts.caller.deliver(schedules::call(call)).await;
            return delivered.map(drop).map_err(schedules::not_run);
        }
        let service = call.service.to_string();
        let tenant = self.parts.snapshot.borrow().tenant(&call.namespace);
        tenant.check_open(&call.namespace)?;
        let known = self.job(&call).await;
        let known = known.ok_or_else(|| Error::new(&service, 503, format!("{service} does not run")))?;
        schedules::charge(&*self.parts.meters.budgets, &call)?;
        match jobs::run(&self.parts.runtime, &known.revision, call.metadata, call.request_id).await? {
            0 => Ok(()),
            code => Err(Error::internal(service, format!("the job ended with exit code {code}")).into()),
        }
    }

    /// The job that a run of a schedule starts.
    async fn job(&self, call: &ScheduledCall) -> Option<Arc<Known>> {
        let jobs = self.routed.lock().await.jobs.clone();
        let known = self.known.lock().await;
        let is_it = |known: &&Arc<Known>| {
            let active = &known.active;
            jobs.contains(&active.deployment)
                && (&active.namespace, &active.service, &active.version)
                    == (&call.namespace, &call.service, &call.version)
        };
        known.values().find(is_it).map(Arc::clone)
    }
}
