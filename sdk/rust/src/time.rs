//! Waiting.

use std::time::Duration;

/// Lets other work go on for `duration`. The time counts against the call's deadline, not against its CPU time.
pub async fn sleep(duration: Duration) {
    crate::host::sleep(duration).await;
}
