//! Housekeeping: uploads that were used, deployments long ended, artifacts that no revision names.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use micro_db::deletion::GRACE_MS;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::error::chain;

const EVERY: Duration = Duration::from_secs(10 * 60);
/// An upload is named by a `run` right after it; an hour is for slow hands.
const UPLOAD_AGE: Duration = Duration::from_secs(60 * 60);
/// How long ended deployments can be looked at.
const DEPLOYMENT_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longer than any build, so that no artifact goes before its revision's row is there.
const ARTIFACT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a node that is gone is remembered.
const NODE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long runs of schedules can be looked at, of services that are gone too.
const RUN_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a key that has ended can still be explained.
const KEY_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    loop {
        sweep(&control).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One round. What fails is tried again in the next.
pub(crate) async fn sweep(control: &Control) {
    let failed = |what: &'static str| move |error: String| tracing::warn!(error, "Sweeping {what} failed");
    if let Err(error) = uploads(control, UPLOAD_AGE).await {
        failed("uploads")(error);
    }
    if let Err(error) = control.db.prune(before(DEPLOYMENT_AGE)).await {
        failed("deployments")(chain(&error));
    }
    if let Err(error) = control.db.prune_runs(before(RUN_AGE)).await {
        failed("runs of schedules")(chain(&error));
    }
    if let Err(error) = artifacts(control).await {
        failed("artifacts")(error);
    }
    if let Err(error) = control.registrations.sweep().await {
        failed("services elsewhere")(chain(&error));
    }
    let age = i64::try_from(NODE_AGE.as_millis()).unwrap_or(i64::MAX);
    if let Err(error) = control.db.sweep_nodes(age).await {
        failed("nodes")(chain(&error));
    }
    if let Err(error) = people(control).await {
        failed("people")(chain(&error));
    }
}

/// Removes rows and files of uploads older than `age`; files without a row too.
pub(crate) async fn uploads(control: &Control, age: Duration) -> Result<(), String> {
    let keep = control.db.sweep_uploads(before(age)).await.map_err(|error| chain(&error))?;
    let keep: HashSet<String> = keep.into_iter().map(|id| format!("{id}.tar.gz")).collect();
    shared_uploads(control, &keep, age).await?;
    let folder = control.config.uploads.clone();
    let mut entries = match tokio::fs::read_dir(&folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    while let Some(entry) = entries.next_entry().await.map_err(|error| error.to_string())? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let modified = entry.metadata().await.and_then(|metadata| metadata.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= age));
        if old && !keep.contains(&name) {
            tokio::fs::remove_file(entry.path()).await.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// As [`uploads`], of those that nodes share.
async fn shared_uploads(control: &Control, keep: &HashSet<String>, age: Duration) -> Result<(), String> {
    let Some(remote) = control.config.artifacts.remote().cloned() else { return Ok(()) };
    let keep = keep.clone();
    let swept = tokio::task::spawn_blocking(move || {
        for file in remote.list("uploads")? {
            if !keep.contains(&file.name) {
                remote.remove(&format!("uploads/{}", file.name), age)?;
            }
        }
        Ok::<_, micro_artifact::Error>(())
    });
    swept.await.map_err(|error| chain(&error))?.map_err(|error| chain(&error))
}

/// Erases people whose time is over, stops what a crash left running in deleted namespaces, and forgets codes, attempts,
/// sessions and keys that have ended.
pub(crate) async fn people(control: &Control) -> Result<(), micro_db::Error> {
    let erased = control.db.erase_people(micro_db::now_ms() - GRACE_MS).await?;
    if erased > 0 {
        tracing::info!(erased, "Erased deleted accounts");
    }
    control.stop_all(&control.db.ended_namespaces().await?).await;
    control.db.sweep_attempts().await?;
    control.db.sweep_sessions().await?;
    control.db.sweep_keys(before(KEY_AGE)).await
}

async fn artifacts(control: &Control) -> Result<(), String> {
    let live = control.db.live_artifacts().await.map_err(|error| chain(&error))?;
    let (store, key) = (control.config.artifacts.clone(), control.config.key.clone());
    let collect = move || micro_artifact::collect(&store, &key, &live, ARTIFACT_AGE);
    match tokio::task::spawn_blocking(collect).await {
        Ok(Ok(collected)) if collected.removed > 0 => {
            tracing::info!(
                removed = collected.removed,
                size_bytes = collected.bytes,
                "Removed unused artifacts"
            );
            Ok(())
        }
        Ok(Ok(_)) | Err(_) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
    }
}

fn before(age: Duration) -> i64 {
    micro_db::now_ms() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
