//! `micro usage`: what the services used, day by day.

use anyhow::Result;
use micro_api::usage::Usage;

use crate::environment::Selection;
use crate::format::{Format, bytes, cell, go_duration};
use crate::listing;

/// Show what the services of the namespace used, by service and day (UTC)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// So many days, today included
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let usage = selection.client().await?.usage(args.days).await?;
    let header = ["DAY", "SERVICE", "REQUESTS", "CPU", "MEMORY", "EGRESS", "STORE", "BUILD"];
    listing::print(&args.format, &usage, header, row, "nothing was used in this time")
}

fn row(usage: &Usage) -> [String; 8] {
    let time = |millis: i64| {
        go_duration(std::time::Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    };
    [
        cell(&usage.day),
        cell(&usage.service),
        usage.requests.to_string(),
        time(usage.cpu_ms),
        format!("{} MiB·s", usage.memory_mib_seconds),
        bytes(usage.egress_bytes),
        bytes(usage.store_bytes),
        time(usage.build_seconds.saturating_mul(1_000)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        let usage = Usage {
            day: "2026-11-26".into(),
            service: "greeter".into(),
            requests: 12,
            cpu_ms: 1_500,
            memory_mib_seconds: 7,
            egress_bytes: 1_536,
            store_bytes: -1,
            build_seconds: 61,
        };
        assert_eq!(row(&usage), ["2026-11-26", "greeter", "12", "1.5s", "7 MiB·s", "1.5 KiB", "0 B", "1m1s"]);
    }
}
