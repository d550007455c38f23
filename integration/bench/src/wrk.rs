//! The load generator `wrk`: sixteen connections of one thread.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What it reports.
pub(crate) struct Load {
    /// Answers a second.
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Loads `url` for so long, with more arguments. Answers other than 2xx and 3xx are an error.
pub(crate) fn wrk(url: &str, arguments: &[&str], seconds: u64) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c16", "--latency", &format!("-d{seconds}s")]).args(arguments).arg(url);
    let output = command.output().context("start wrk: `cargo xtask setup` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    if after("Non-2xx or 3xx responses:").is_some() || after("Socket errors:").is_some() {
        bail!("{url} failed under load: {text}");
    }
    let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok()).with_context(|| text.to_string())?;
    let quantile = |label| after(label).and_then(duration).with_context(|| text.to_string());
    Ok(Load { rate, p50: quantile("50%")?, p99: quantile("99%")? })
}

/// `1.23ms` and the like.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.trim().parse::<f64>().ok()? * scale))
}
