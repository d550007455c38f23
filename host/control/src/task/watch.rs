//! Turns commits of any process into wake-ups of this one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_db::Changes;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// Pause after the database refused.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    let mut listening: Option<Changes> = None;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            lost = next(&control, &mut listening) => {
                if lost {
                    listening = None;
                }
            }
        }
    }
}

/// Waits for one wake-up. True: the connection was lost.
async fn next(control: &Control, listening: &mut Option<Changes>) -> bool {
    let result = match listening {
        Some(changes) => changes.next(control.busy.load(Ordering::Relaxed)).await,
        None => match control.db.changes().await {
            Ok(changes) => {
                *listening = Some(changes);
                Ok(())
            }
            Err(error) => Err(error),
        },
    };
    if let Err(error) = &result {
        tracing::warn!(error = crate::error::chain(error), "The control plane cannot listen to its database");
        tokio::time::sleep(RETRY).await;
    }
    // Also after an error: the rows may be readable, and those who wait look themselves.
    control.changed();
    result.is_err()
}
