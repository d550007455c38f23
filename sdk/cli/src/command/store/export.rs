//! `micro store export`: tables to a file, page by page.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::file::{Header, Line, Writer};
use super::place::{Destination, Place};
use super::session::{Meter, Session, chosen};
use crate::environment::Selection;
use crate::format::bytes;
use crate::output;

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Where to: a file, s3://BUCKET/KEY, or - for stdout
    #[arg(value_name = "FILE")]
    to: Place,
    /// Only this table; may be given again
    #[arg(long, short)]
    table: Vec<String>,
    /// Namespace; micro is your own
    #[arg(long, short, value_name = "NAMESPACE", default_value = "micro")]
    database: String,
    /// Print what was written as JSON; with - on stderr
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Summary {
    namespace: String,
    tables: usize,
    records: u64,
    /// Of the file.
    bytes: u64,
}

pub(super) async fn run(export: &Export, selection: &Selection) -> Result<()> {
    let mut session = Session::open(selection, &export.database).await?;
    let namespace = session.ask(async |client| client.store_databases().await).await?;
    let namespace = namespace.into_iter().next().unwrap_or_default();
    let tables = session.ask(async |client| client.store_tables().await).await?;
    let tables = chosen(&export.table, tables)?;
    let header = Header::new(namespace, tables, Timestamp::now().to_string());
    let mut destination = Destination::open(&export.to)?;
    match write(&mut session, &header, &mut destination).await {
        Ok((records, size)) => {
            destination.finish(&export.to).await?;
            export.tell(&Summary {
                namespace: header.namespace,
                tables: header.tables.len(),
                records,
                bytes: size,
            })
        }
        Err(error) => {
            destination.abandon().await;
            Err(error)
        }
    }
}

/// A page in memory at a time.
async fn write(session: &mut Session, header: &Header, to: &mut Destination) -> Result<(u64, u64)> {
    let meter = Meter::new(None);
    let mut writer = Writer::begin(to.stream()?, header).await?;
    for table in &header.tables {
        let mut after: Option<String> = None;
        loop {
            let page = session.ask(async |client| client.store_export(table, after.as_deref()).await).await?;
            let last = page.records.last().map(|record| record.key.clone());
            for record in page.records {
                writer.record(&Line { table: table.clone(), record }).await?;
            }
            let (records, size) = writer.count();
            meter.show(records, size);
            if !page.more || last.is_none() {
                break;
            }
            after = last;
        }
    }
    writer.end().await
}

impl Export {
    fn tell(&self, summary: &Summary) -> Result<()> {
        let Summary { namespace, tables, records, bytes: size } = summary;
        let text = match self.json {
            true => serde_json::to_string_pretty(summary)?,
            false => {
                let size = bytes(i64::try_from(*size).unwrap_or(i64::MAX));
                format!("Exported {records} records of {tables} tables of {namespace}, {size}")
            }
        };
        match self.to {
            Place::Standard => output::complain(&text),
            _ => output::line(&text)?,
        }
        Ok(())
    }
}
