//! `micro audit`: who did what, and its export.

use anyhow::Result;
use micro_api::team::AuditRecord;
use micro_client::{Client, Page};

use crate::environment::Selection;
use crate::format::{ago, cell, now_ms};
use crate::{listing, output};

/// Show who did what in the namespace, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// At most so many records; 0 is all
    #[arg(long, short, default_value_t = 50)]
    limit: u64,
    /// How to print: table, csv or json
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    format: Export,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Export {
    Table,
    Csv,
    Json,
}

/// The most that a server gives at once.
const PAGE: u32 = 200;

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let client = selection.client().await?;
    print(&args.options, &client, false).await
}

/// Prints the namespace's log, or the platform's.
pub(super) async fn print(options: &Options, client: &Client, platform: bool) -> Result<()> {
    let export = if options.json { Export::Json } else { options.format };
    if export == Export::Csv {
        output::print("at,actor,action,subject,address,detail\r\n")?;
    }
    let mut records = Vec::new();
    let mut page = Page { limit: PAGE, ..Page::default() };
    let mut left = if options.limit == 0 { u64::MAX } else { options.limit };
    while left > 0 {
        page.limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let mut found = match platform {
            true => client.operator_audit(&page).await?,
            false => client.audit(&page).await?,
        };
        let Some(last) = found.last() else { break };
        page.after.clone_from(&last.id);
        let count = u64::try_from(found.len()).unwrap_or(left);
        left = left.saturating_sub(count);
        match export {
            Export::Csv => output::print(&found.iter().map(line).collect::<String>())?,
            _ => records.append(&mut found),
        }
        if count < u64::from(page.limit) {
            break;
        }
    }
    match export {
        Export::Csv => Ok(()),
        Export::Json => output::json(&records),
        Export::Table => table(&records),
    }
}

fn table(records: &[AuditRecord]) -> Result<()> {
    let now = now_ms();
    let row = |record: &AuditRecord| {
        [
            ago(record.at_ms, now),
            cell(&record.actor),
            cell(&record.action),
            cell(&record.subject),
            cell(&record.address),
            cell(&record.detail),
        ]
    };
    let header = ["WHEN", "WHO", "ACTION", "SUBJECT", "ADDRESS", "DETAIL"];
    let format = crate::format::Format::table();
    listing::print(&format, records, header, row, "nothing was done yet")
}

/// A record as RFC 4180 wants it.
fn line(record: &AuditRecord) -> String {
    let at = jiff::Timestamp::from_millisecond(record.at_ms).map(|at| at.to_string()).unwrap_or_default();
    let fields = [&at, &record.actor, &record.action, &record.subject, &record.address, &record.detail];
    let fields: Vec<_> = fields.into_iter().map(|text| field(text)).collect();
    format!("{}\r\n", fields.join(","))
}

/// Quoted where needed. What a spreadsheet would take for a formula gets an apostrophe: names come from strangers.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_csv_without_formulas() {
        let record = AuditRecord {
            id: "1".into(),
            at_ms: 0,
            actor: "jane".into(),
            action: "key.create".into(),
            subject: "=HYPERLINK(\"x\")".into(),
            address: "192.0.2.1".into(),
            detail: "a, b\nc".into(),
        };
        assert_eq!(
            line(&record),
            "1970-01-01T00:00:00Z,jane,key.create,\"'=HYPERLINK(\"\"x\"\")\",192.0.2.1,\"a, b\nc\"\r\n"
        );
    }
}
