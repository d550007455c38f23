//! Starting `wasi:cli/run`.

use std::sync::Arc;
use std::time::Instant;

use micro_api::Error;
use micro_runtime::{Context, Revision, Runtime};

/// Runs a job to its end; the exit code. `id` marks the lines that it logs. Dropping the future ends the job.
pub(super) async fn run(
    runtime: &Runtime,
    revision: &Arc<Revision>,
    metadata: Vec<(String, String)>,
    id: String,
) -> Result<i32, Error> {
    let context = Context {
        account: None,
        metadata,
        deadline: Instant::now() + runtime.config().service.job_wall,
        traceparent: String::new(),
        request_id: id.clone(),
    };
    let ended = runtime.run(revision, None, context).await;
    ended.map_err(|fault| fault.error(&revision.manifest().service.to_string(), &id))
}
