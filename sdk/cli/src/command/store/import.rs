//! `micro store import`: a file into tables, batch by batch.

use anyhow::{Context, Result, bail};
use micro_api::store::{IMPORT_RECORDS_MAX, Import as Batch, Imported, Kept};
use serde::Serialize;
use tokio::io::AsyncBufRead;

use super::file::{Line, Reader};
use super::place::{Place, Source};
use super::session::{Meter, Session, chosen};
use crate::environment::Selection;
use crate::output::{self, Exit};
use crate::refusal;

/// Bytes of keys and values of a batch; one that is larger by itself is sent alone.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The exit code when some records were written and others were not.
const PARTLY: u8 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// What `micro store export` wrote: a file, s3://BUCKET/KEY, or - for stdin
    #[arg(value_name = "FILE")]
    from: Place,
    /// Write over keys that exist; else they are kept as they are
    #[arg(long)]
    replace: bool,
    /// Only this table of the file; may be given again
    #[arg(long, short)]
    table: Vec<String>,
    /// Namespace to write to; micro is your own
    #[arg(long, short, value_name = "NAMESPACE", default_value = "micro")]
    database: String,
    /// Print what became of the records as JSON
    #[arg(long)]
    json: bool,
}

/// What became of the records of the file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Of the tables that were asked for.
    records: u64,
    #[serde(flatten)]
    imported: Imported,
}

pub(super) async fn run(import: &Import, selection: &Selection) -> Result<()> {
    let name = import.from.to_string();
    let mut source = Source::open(&import.from).await?;
    let mut reader = Reader::begin(source.rewound().await?, &name).await?;
    let tables = chosen(&import.table, reader.header().tables.clone())?;
    while reader.next().await.context("nothing was written")?.is_some() {}
    let all = reader.records();

    let session = Session::open(selection, &import.database).await?;
    let reader = Reader::begin(source.rewound().await?, &name).await?;
    let (batch, id) = (Vec::new(), uuid::Uuid::new_v4().to_string());
    let summary = Summary::default();
    let mut sender =
        Sender { session, id, replace: import.replace, table: String::new(), batch, bytes: 0, summary };
    match sender.send_all(reader, &tables, &Meter::new(Some(all))).await {
        Ok(()) => import.tell(&sender.summary),
        Err(error) if sender.summary.records == 0 => Err(error.context("no batch was acknowledged")),
        Err(error) => {
            output::complain(&format!("{:#}", refusal::explain(error, selection)));
            let done = sender.summary.records;
            output::complain(&format!(
                "{done} of {all} records are through: run the same command again for the others, those that are there do \
                 no harm"
            ));
            Err(Exit(PARTLY).into())
        }
    }
}

/// Collects records of a table and sends them.
struct Sender {
    session: Session,
    /// The same for all batches.
    id: String,
    replace: bool,
    table: String,
    batch: Vec<Kept>,
    bytes: usize,
    summary: Summary,
}

impl Sender {
    async fn send_all<R: AsyncBufRead + Unpin>(
        &mut self,
        mut reader: Reader<R>,
        tables: &[String],
        meter: &Meter,
    ) -> Result<()> {
        while let Some(Line { table, record }) = reader.next().await? {
            if !tables.contains(&table) {
                if !reader.header().tables.contains(&table) {
                    bail!("the file is damaged: its first line does not name the table {table}");
                }
                continue;
            }
            let bytes = record.key.len() + record.value.len() / 4 * 3;
            if table != self.table
                || self.batch.len() >= IMPORT_RECORDS_MAX
                || self.bytes + bytes > BATCH_BYTES_MAX
            {
                self.flush().await?;
                meter.show(reader.records(), 0);
                self.table = table;
            }
            self.bytes += bytes;
            self.batch.push(record);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let records = std::mem::take(&mut self.batch);
        let batch = Batch { id: self.id.clone(), replace: self.replace, records };
        let table = &self.table;
        // Where a batch is sent again after an answer that was lost, what it wrote then counts as kept.
        let told = self.session.ask(async |client| client.store_import(table, &batch).await).await?;
        let Summary { records, imported } = &mut self.summary;
        *records += batch.records.len() as u64;
        imported.written += told.written;
        imported.kept += told.kept;
        imported.expired += told.expired;
        Ok(())
    }
}

impl Import {
    fn tell(&self, summary: &Summary) -> Result<()> {
        if self.json {
            return output::json(summary);
        }
        let Summary { records, imported: Imported { written, kept, expired } } = summary;
        let mut text = format!("Imported {written} of {records} records");
        if *kept > 0 {
            text.push_str(&format!("; {kept} were there and are as they were: --replace writes over them"));
        }
        if *expired > 0 {
            text.push_str(&format!("; {expired} had expired"));
        }
        Ok(output::line(&text)?)
    }
}
