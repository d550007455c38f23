//! How much the long tests do. `cargo xtask soak` sets these variables; CONTRIBUTING.md lists them.

use std::time::Duration;

use anyhow::{Context, Result};

/// How often a suite kills a process: `MICRO_SOAK_KILLS`, else 5.
pub fn kills() -> Result<u64> {
    variable("MICRO_SOAK_KILLS", 5)
}

/// Where random points start: `MICRO_SOAK_SEED`, else 7.
pub fn seed() -> Result<u64> {
    variable("MICRO_SOAK_SEED", 7)
}

/// How long a load with updates lasts: `MICRO_SOAK_LOAD_S` in seconds, else `brief`.
pub fn load(brief: Duration) -> Result<Duration> {
    variable("MICRO_SOAK_LOAD_S", brief.as_secs()).map(Duration::from_secs)
}

/// A value that cannot be read is an error: a soak that fell back to a brief run would prove nothing.
fn variable(name: &str, default: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    text.parse().with_context(|| format!("{name} is no number: {text}"))
}
