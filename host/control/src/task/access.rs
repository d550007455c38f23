//! Follows what other processes change in who may do what, in what serves and in which services run elsewhere, and writes
//! down which credentials were used.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::error::chain;

/// A change by another process acts within this time, also where the database wakes nobody.
const EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    let mut changes = control.changes();
    let mut away = false;
    loop {
        changes.mark_unchanged();
        match control.follow_access().await {
            Ok(()) => away = false,
            Err(error) => {
                if !away {
                    tracing::warn!(error = chain(&error), "Changes of access cannot be read");
                }
                away = true;
            }
        }
        if control.is_resumed()
            && let Err(error) = control.follow_routes().await
        {
            tracing::debug!(error = chain(&error), "What serves cannot be read");
        }
        if let Err(error) = control.credentials.write_uses().await {
            tracing::debug!(error = chain(&error), "Uses of credentials wait to be written");
        }
        tokio::select! {
            () = stop.cancelled() => {
                if let Err(error) = control.credentials.write_uses().await {
                    tracing::warn!(error = chain(&error), "The last uses of credentials were not noted");
                }
                return;
            }
            () = tokio::time::sleep(EVERY) => {}
            // Ends only with a change: the sender lives in `control`.
            _ = changes.changed() => {}
        }
    }
}

/// Follows services elsewhere, by itself: their server may hang, and neither access nor routes wait for it.
pub(crate) async fn registry(control: Arc<Control>, stop: CancellationToken) {
    let follow = async {
        // Rules before routes: whoever finds a service is held to them.
        control.resumed().await;
        let mut changes = control.changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = control.follow_registry().await {
                tracing::debug!(%error, "Services elsewhere cannot be read");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = control.registrations.woken() => {}
                // Ends only with a change: the sender lives in `control`.
                _ = changes.changed() => {}
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow => {}
    }
}
