//! Services whose code is gone: they run nowhere, and their rows should say so.
//!
//! A node that is alone with its artifacts knows when it starts: what it cannot load, nobody can. Any other one only knows
//! of itself: the bucket may be back soon, and another node may serve it from its own folder. There a service has failed
//! once the store itself has answered that it has not got its code, or other bytes, and no other node is alive. Until then
//! its row says that it runs, and this node tries again.

use micro_db::deployments::Record;

use super::reconcile::settle;
use super::routes::revision_of;
use crate::Control;
use crate::node::Unservable;

/// Writes down which of those that this node cannot serve have failed for good.
/// `at_start`: of this process.
pub(super) async fn judge(
    control: &Control,
    unservable: Vec<Unservable>,
    at_start: bool,
) -> Result<(), micro_db::Error> {
    if unservable.is_empty() {
        return Ok(());
    }
    let is_sure = at_start && control.config.artifacts.remote().is_none();
    let own = &control.config.node_id;
    if control.db.live_nodes().await?.iter().any(|node| node != own) {
        return Ok(());
    }
    for one in unservable {
        let Some(record) = control.db.deployment_by_id(&one.deployment).await? else { continue };
        if is_sure || is_gone(control, &record).await {
            tracing::error!(deployment = one.deployment, "A service failed: its code is gone");
            settle(control.db.failed(&record, one.error).await).await;
        }
    }
    Ok(())
}

/// Whether the store has answered that the code is not there, or not what was published.
async fn is_gone(control: &Control, record: &Record) -> bool {
    let Some(revision) = revision_of(record) else { return true };
    let (store, key) = (control.config.artifacts.clone(), control.config.key.clone());
    let checked = tokio::task::spawn_blocking(move || {
        micro_artifact::verify(&store, &key, &revision.revision).map(drop)
    });
    match checked.await {
        Ok(Err(error)) => is_final(&error),
        // It is there by now, or the process is ending.
        Ok(Ok(())) | Err(_) => false,
    }
}

/// Whether the store itself has answered, so that asking again would not help.
pub(super) fn is_final(error: &micro_artifact::Error) -> bool {
    use micro_artifact::Error;
    matches!(
        error,
        Error::Missing(_)
            | Error::Damaged(_)
            | Error::Signature(_)
            | Error::Manifest(_)
            | Error::ManifestSize { .. }
    )
}
