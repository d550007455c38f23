//! `micro billing`: what the running month costs so far.

use anyhow::Result;
use micro_api::usage::LedgerEntry;

use crate::environment::Selection;
use crate::format::{Format, ago, cell, now_ms};
use crate::{listing, output};

/// Show the ledger and what the running month would cost if it ended now
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let billing = selection.client().await?.billing().await?;
    if args.format.is_json() {
        return output::json(&billing);
    }
    output::line(&format!("Plan: {}\nProvider: {}", cell(&billing.plan), cell(&billing.provider)))?;
    let now = now_ms();
    let row = |entry: &LedgerEntry| [ago(entry.at_ms, now), amount(entry), cell(&entry.description)];
    listing::print(
        &args.format,
        &billing.entries,
        ["BOOKED", "AMOUNT", "FOR"],
        row,
        "nothing was booked yet",
    )?;
    let row = |entry: &LedgerEntry| [amount(entry), cell(&entry.description)];
    listing::print(&args.format, &billing.preview, ["SO FAR", "FOR"], row, "this month costs nothing so far")
}

fn amount(entry: &LedgerEntry) -> String {
    let cents = entry.amount_millicents / 1_000;
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02} {}", cents / 100, cents % 100, cell(&entry.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_cents() {
        let entry = |amount_millicents| LedgerEntry {
            id: "1".into(),
            at_ms: 1,
            description: "requests".into(),
            amount_millicents,
            currency: "USD".into(),
        };
        assert_eq!(amount(&entry(1_234_567)), "12.34 USD");
        assert_eq!(amount(&entry(-5_000)), "-0.05 USD");
        assert_eq!(amount(&entry(-999)), "0.00 USD");
    }
}
