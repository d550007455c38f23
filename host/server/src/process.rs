//! What this process asks of the operating system: descriptors, signals, log output.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A loaded component may hold a descriptor, so may each connection.
const DESCRIPTORS_SPARE: u64 = 1_024;
/// Maps that a loaded component holds at most; `vm.max_map_count` bounds them.
const MAPS_PER_COMPONENT: u64 = 7;

/// Log lines go to stderr; `MICRO_LOG_LEVEL` is trace, debug, info (default), warn, error or a filter such as
/// `info,micro_gateway=debug`.
pub(crate) fn log_to_stderr() -> Result<()> {
    let level = std::env::var("MICRO_LOG_LEVEL").unwrap_or_default();
    let level = match level.as_str() {
        "" => "info",
        "fatal" => "error",
        level => level,
    };
    let filter = EnvFilter::try_new(level).with_context(|| {
        format!("MICRO_LOG_LEVEL={level}: choose trace, debug, info, warn, error or fatal")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// Raises the descriptor limit to what the system allows and says so when it or the number of maps is too small for
/// `loaded_max` components.
pub(crate) fn raise_limits(loaded_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let loaded = u64::try_from(loaded_max).unwrap_or(u64::MAX);
    if let Some(current) = getrlimit(Resource::Nofile).current
        && current < loaded.saturating_add(DESCRIPTORS_SPARE)
    {
        tracing::warn!(
            current,
            loaded_max,
            "The descriptor limit is small for so many loaded components: raise `ulimit -n`, or lower --loaded_max"
        );
    }
    let maps =
        std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    if maps.is_some_and(|maps: u64| maps < loaded.saturating_mul(MAPS_PER_COMPONENT)) {
        tracing::warn!(
            max_map_count = maps,
            loaded_max,
            "vm.max_map_count is small for so many loaded components: raise it, or lower --loaded_max"
        );
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!("Stopping at once");
                #[expect(clippy::exit, reason = "the operator asked twice")]
                std::process::exit(130);
            }
            tracing::info!("Stopping: finishing what has begun");
            stop.cancel();
        }
    });
    Ok(())
}
