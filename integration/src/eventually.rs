//! Waiting for a condition instead of for time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(20);

/// Tries `attempt` until it succeeds; after `within`, its last error becomes the result.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() > within => {
                bail!("{what} did not come true within {within:?}: {error:#}")
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
