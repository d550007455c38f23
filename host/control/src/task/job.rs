//! Jobs: services that run to their end. Exit code 0 is `stopped`; anything else is tried again, with a growing pause,
//! until the deployment's retries are used up.

use micro_db::deployments::Record;

use super::reconcile::{backoff, settle, settled};
use super::routes::revision_of;
use crate::Control;

/// Runs a job that was just noted as running.
pub(super) async fn run(control: &Control, mut record: Record) {
    let Some(revision) = revision_of(&record) else { return };
    loop {
        let error = match control.node.run_job(&revision).await {
            Ok(0) => return settle(control.db.finished(&record).await).await,
            Ok(code) => micro_api::Error::internal(
                record.deployment.service.clone(),
                format!("the job ended with exit code {code}"),
            ),
            Err(error) => error,
        };
        if record.starts > i64::from(record.request.retries) {
            return settle(control.db.failed(&record, error).await).await;
        }
        tokio::time::sleep(backoff(control, record.starts)).await;
        if settled(control.db.count_restart(&record).await).await.is_none() {
            return;
        }
        record.starts += 1;
    }
}

/// Takes up a job that ran when its node ended, this one or another. That counts as a failed run, so that a job which
/// takes the host down does not do so for ever.
pub(super) async fn resume(control: &Control, mut record: Record) {
    if record.starts > i64::from(record.request.retries) {
        let error = micro_api::Error::internal(
            record.deployment.service.clone(),
            "the platform was stopped while the job ran, and its retries are used up",
        );
        settle(control.db.failed(&record, error).await).await;
    } else if settled(control.db.count_restart(&record).await).await.is_some() {
        record.starts += 1;
        run(control, record).await;
    }
    control.poke();
}
