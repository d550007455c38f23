//! What a running revision is called for at set times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use micro_artifact::RevisionManifest;
use micro_capability::Scope;
use micro_capability::broker::{Call, Undelivered};
use micro_capability::client::Codec;
use micro_control::{ActiveRevision, NotRun, Scheduled, ScheduledCall};
use micro_gateway::Quota;

/// The longest that a run may take; a service's own `wall` is shorter, unless the platform's is not.
const RUN_MAX: Duration = Duration::from_secs(300);
/// The empty message.
const EMPTY: &[u8] = b"{}";

/// The schedules of a revision. Its manifest was checked when it was built.
pub(crate) fn of(active: &ActiveRevision, manifest: &RevisionManifest) -> Vec<Arc<Scheduled>> {
    let one = |schedule: &micro_api::manifest::Schedule| {
        Arc::new(Scheduled {
            namespace: active.namespace.clone(),
            service: active.service.clone(),
            version: active.version.clone(),
            started_ms: active.started_ms,
            schedule: schedule.clone(),
        })
    };
    manifest.settings.schedule.iter().map(one).collect()
}

/// The call of a run.
pub(crate) fn call(run: ScheduledCall) -> Call {
    let ScheduledCall { namespace, service, version, endpoint, metadata, request_id } = run;
    Call {
        scope: Scope { namespace, service, version },
        endpoint,
        codec: Codec::Json,
        request: Bytes::from_static(EMPTY),
        metadata,
        deadline: Instant::now() + RUN_MAX,
        traceparent: String::new(),
        request_id,
    }
}

/// Counts a job as a request of the month.
///
/// # Errors
/// When these are used up: then it does not begin.
pub(crate) fn charge(quota: &dyn Quota, run: &ScheduledCall) -> Result<(), NotRun> {
    quota.admit(&run.namespace, &run.service).map_err(|over| NotRun::Skipped(over.error()))
}

/// Why a call was no run that ended well.
pub(crate) fn not_run(undelivered: Undelivered) -> NotRun {
    match undelivered {
        Undelivered::Waits(error) => NotRun::Skipped(error),
        Undelivered::Failed(error) => NotRun::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use micro_api::manifest::{Manifest, Schedule};
    use micro_artifact::{Code, Digest};

    use super::*;

    #[test]
    fn a_manifest_becomes_schedules_of_its_service() {
        let digest = Digest::of(b"x");
        let active = ActiveRevision {
            namespace: "acme".parse().unwrap(),
            service: "app".parse().unwrap(),
            version: "v1".to_owned(),
            revision: digest,
            deployment: "d1".to_owned(),
            started_ms: 7,
            updated_ms: 0,
        };
        let endpoint = "A.B".to_owned();
        let schedule = Schedule { cron: "@hourly".to_owned(), endpoint, ..Schedule::default() };
        let settings = Manifest { schedule: vec![schedule.clone()], ..Manifest::default() };
        let code = Code { component: digest, native: digest, engine: String::new() };
        let manifest = RevisionManifest::new("app".parse().unwrap(), code, settings);
        let found = of(&active, &manifest);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].namespace.as_str(), found[0].version.as_str()), ("acme", "v1"));
        assert_eq!((found[0].started_ms, &found[0].schedule), (7, &schedule));
        let run = ScheduledCall {
            namespace: "acme".parse().unwrap(),
            service: "app".parse().unwrap(),
            version: "v1".to_owned(),
            endpoint: "A.B".to_owned(),
            metadata: vec![("Micro-Tick".to_owned(), "7".to_owned())],
            request_id: "r1".to_owned(),
        };
        let call = call(run);
        assert_eq!((call.scope.version.as_str(), call.endpoint.as_str()), ("v1", "A.B"));
        assert_eq!((call.request.as_ref(), call.request_id.as_str()), (b"{}".as_slice(), "r1"));
    }
}
