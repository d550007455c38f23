//! `micro limits`: where the namespace stands within its plan.

use anyhow::Result;
use micro_api::usage::Limit;

use crate::environment::Selection;
use crate::format::{Format, bytes, cell, now_ms, until};
use crate::{listing, output};

/// Show the limits of the namespace's plan, what is used, and what happens at the end
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let limits = selection.client().await?.limits().await?;
    if args.format.is_json() {
        return output::json(&limits);
    }
    output::line(&format!("Namespace: {}\nPlan: {}", cell(&limits.namespace), cell(&limits.plan)))?;
    let now = now_ms();
    let header = ["LIMIT", "USED", "MAX", "RESETS", "AT THE END"];
    listing::print(&args.format, &limits.limits, header, |limit| row(limit, now), "the plan limits nothing")
}

pub(super) fn row(limit: &Limit, now_ms: i64) -> [String; 5] {
    let amount = |amount: i64| match limit.unit.as_str() {
        "bytes" => bytes(amount),
        "count" | "" => amount.to_string(),
        unit => format!("{amount} {}", cell(unit)),
    };
    [
        cell(&limit.name),
        amount(limit.used),
        limit.max.map_or_else(|| "unlimited".to_owned(), amount),
        limit.resets_ms.map_or_else(|| "never".to_owned(), |at| until(at, now_ms)),
        cell(&limit.at_end),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_and_largest_stand_side_by_side() {
        let limit = |unit: &str, max| Limit {
            name: "store_bytes".into(),
            used: 1 << 20,
            max,
            unit: unit.into(),
            resets_ms: Some(3_601_000),
            at_end: "writes fail".into(),
        };
        assert_eq!(
            row(&limit("bytes", Some(5 << 30)), 1_000),
            ["store_bytes", "1.0 MiB", "5.0 GiB", "1 hour from now", "writes fail"]
        );
        assert_eq!(row(&limit("per second", None), 1_000)[1..3], ["1048576 per second", "unlimited"]);
    }
}
