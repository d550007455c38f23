//! The format of an export: one JSON object a line.
//!
//! The first line says what it is: format and version, the namespace it is of, its tables, and when it was begun. Then
//! a line a record, in the order of tables and keys, the value in base64 and the expiry as a time in Unix milliseconds.
//! The last line counts the records and has the SHA-256 of all bytes before it, so that a file that was cut off or
//! changed is known before anything of it is written.

use anyhow::{Context, Result, bail};
use micro_api::store::Kept;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the first line says it is.
const FORMAT: &str = "micro-store";
/// The version that this program writes and reads.
const VERSION: u32 = 1;
/// A longer line is no line of an export: a value of 4 MiB in base64, or the names of 10 000 tables.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    version: u32,
    /// Where the records come from.
    pub(super) namespace: String,
    /// All tables of the file, also those without a record.
    pub(super) tables: Vec<String>,
    /// When the export began, as RFC 3339 writes it.
    pub(super) time: String,
}

impl Header {
    pub(super) fn new(namespace: String, tables: Vec<String>, time: String) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, namespace, tables, time }
    }
}

/// What any first line is asked before it is read as one of this version.
#[derive(Deserialize)]
struct Which {
    format: String,
    version: u32,
}

/// A record.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) table: String,
    #[serde(flatten)]
    pub(super) record: Kept,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Trailer {
    records: u64,
    sha256: String,
}

/// Any line after the first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Any {
    table: Option<String>,
    key: Option<String>,
    value: Option<String>,
    expires_ms: Option<u64>,
    records: Option<u64>,
    sha256: Option<String>,
}

/// Writes an export.
pub(super) struct Writer<W> {
    to: W,
    hash: Sha256,
    records: u64,
    bytes: u64,
    line: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Begins with the header.
    pub(super) async fn begin(to: W, header: &Header) -> Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), records: 0, bytes: 0, line: Vec::new() };
        writer.put(header).await?;
        Ok(writer)
    }

    pub(super) async fn record(&mut self, line: &Line) -> Result<()> {
        self.records += 1;
        self.put(line).await
    }

    /// The last line; how many records and bytes there are. What was written to is flushed, not closed.
    pub(super) async fn end(&mut self) -> Result<(u64, u64)> {
        let sha256 = hex::encode(self.hash.clone().finalize());
        self.put(&Trailer { records: self.records, sha256 }).await?;
        self.to.flush().await.context("cannot write the export")?;
        Ok(self.count())
    }

    pub(super) fn count(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    async fn put(&mut self, line: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.bytes += self.line.len() as u64;
        self.to.write_all(&self.line).await.context("cannot write the export")
    }
}

/// Reads an export from its beginning to its end.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    /// How the messages call it.
    name: String,
    header: Header,
    hash: Sha256,
    records: u64,
    line: Vec<u8>,
    ended: bool,
}

impl<R: AsyncBufRead + Unpin> Reader<R> {
    /// Reads the header; another format or version is refused.
    pub(super) async fn begin(from: R, name: &str) -> Result<Self> {
        let header = Header::new(String::new(), Vec::new(), String::new());
        let (name, hash) = (name.to_owned(), Sha256::new());
        let mut reader = Self { from, name, header, hash, records: 0, line: Vec::new(), ended: false };
        if !reader.take().await? {
            bail!("{} is empty, so it is no export of a store", reader.name);
        }
        let which: Option<Which> = serde_json::from_slice(&reader.line).ok();
        match which.filter(|which| which.format == FORMAT) {
            None => bail!("{} is no export of a store: its first line does not say so", reader.name),
            Some(which) if which.version != VERSION => bail!(
                "{} is of version {} of the format, and this `micro` reads version {VERSION}: use one that is as new as \
                 the one that wrote it",
                reader.name,
                which.version
            ),
            Some(_) => {}
        }
        let header = serde_json::from_slice(&reader.line);
        reader.header = header.with_context(|| format!("the first line of {} is damaged", reader.name))?;
        Ok(reader)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// How many records came so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The next record; none at the end of a file that is whole.
    pub(super) async fn next(&mut self) -> Result<Option<Line>> {
        if self.ended {
            return Ok(None);
        }
        let hash = self.hash.clone();
        if !self.take().await? {
            bail!(
                "{} is cut off after {} records: its last line, which counts them, is missing",
                self.name,
                self.records
            );
        }
        let any: Any = serde_json::from_slice(&self.line).map_err(|error| {
            let what = if error.is_eof() { "is cut off" } else { "is damaged" };
            anyhow::anyhow!("{} {what} after {} records", self.name, self.records)
        })?;
        match any {
            Any {
                table: Some(table),
                key: Some(key),
                value: Some(value),
                expires_ms,
                records: None,
                sha256: None,
            } => {
                self.records += 1;
                Ok(Some(Line { table, record: Kept { key, value, expires_ms } }))
            }
            Any {
                table: None,
                key: None,
                value: None,
                expires_ms: None,
                records: Some(records),
                sha256: Some(sha256),
            } => {
                self.check(hash, records, &sha256)?;
                if self.take().await? {
                    bail!("{} goes on after its last line: it is damaged", self.name);
                }
                self.ended = true;
                Ok(None)
            }
            _ => bail!(
                "{} is damaged after {} records: a line is neither a record nor the last",
                self.name,
                self.records
            ),
        }
    }

    fn check(&self, hash: Sha256, records: u64, sha256: &str) -> Result<()> {
        if records != self.records {
            bail!(
                "{} is damaged: it has {} records, and its last line counts {records}",
                self.name,
                self.records
            );
        }
        let found = hex::encode(hash.finalize());
        if found != sha256 {
            bail!("{} is damaged: its SHA-256 is {found}, and its last line says {sha256}", self.name);
        }
        Ok(())
    }

    /// Reads the next line; false at the end.
    async fn take(&mut self) -> Result<bool> {
        self.line.clear();
        let mut bounded = (&mut self.from).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut self.line).await;
        let read = read.with_context(|| format!("cannot read {}", self.name))?;
        if read as u64 == LINE_BYTES_MAX {
            bail!("{} is no export of a store, or damaged: a line is longer than 8 MiB", self.name);
        }
        self.hash.update(&self.line);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(table: &str, key: &str, expires_ms: Option<u64>) -> Line {
        Line { table: table.into(), record: Kept { key: key.into(), value: "AP8=".into(), expires_ms } }
    }

    fn header() -> Header {
        Header::new("acme".into(), vec!["a".into(), "b".into()], "2026-01-31T08:00:00Z".into())
    }

    fn lines() -> [Line; 3] {
        [line("a", "k\n1", None), line("a", "k2", Some(1_800_000_000_000)), line("b", "ü", None)]
    }

    async fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &header()).await.unwrap();
        for line in &lines() {
            writer.record(line).await.unwrap();
        }
        let (records, size) = writer.end().await.unwrap();
        assert_eq!((records, size), (3, bytes.len() as u64));
        bytes
    }

    async fn read(bytes: &[u8]) -> Result<(Header, Vec<Line>)> {
        let mut reader = Reader::begin(bytes, "x").await?;
        let mut found = Vec::new();
        while let Some(line) = reader.next().await? {
            found.push(line);
        }
        Ok((reader.header().clone(), found))
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let bytes = written().await;
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut rows = text.lines();
        assert_eq!(
            rows.next(),
            Some(
                r#"{"format":"micro-store","version":1,"namespace":"acme","tables":["a","b"],"time":"2026-01-31T08:00:00Z"}"#
            )
        );
        assert_eq!(rows.next(), Some(r#"{"table":"a","key":"k\n1","value":"AP8="}"#));
        assert_eq!(
            rows.next(),
            Some(r#"{"table":"a","key":"k2","value":"AP8=","expires_ms":1800000000000}"#)
        );
        assert!(rows.next_back().unwrap().starts_with(r#"{"records":3,"sha256":""#));
        assert_eq!(read(&bytes).await.unwrap(), (header(), lines().into()));
    }

    #[tokio::test]
    async fn a_file_that_is_cut_anywhere_is_known() {
        let bytes = written().await;
        // All but the last line end: what is missing there says nothing.
        for end in 0..bytes.len() - 1 {
            let error = read(&bytes[..end]).await.unwrap_err().to_string();
            assert!(
                ["cut off", "empty", "no export", "damaged"].iter().any(|word| error.contains(word)),
                "{error}"
            );
        }
        let rows = bytes.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
        let error = read(&rows[..3].concat()).await.unwrap_err().to_string();
        assert_eq!(error, "x is cut off after 2 records: its last line, which counts them, is missing");
        // A line that went missing, one that came twice, and more after the end.
        for wrong in [
            [rows[0], rows[1], rows[3], rows[4]].concat(),
            [rows[0], rows[1], rows[1], rows[2], rows[4]].concat(),
            [&bytes[..], rows[1]].concat(),
        ] {
            let error = read(&wrong).await.unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_was_changed_is_known() {
        let bytes = written().await;
        let text = String::from_utf8(bytes).unwrap();
        let error = read(text.replacen("AP8=", "AP9=", 1).as_bytes()).await.unwrap_err().to_string();
        assert!(error.starts_with("x is damaged: its SHA-256 is "), "{error}");
    }

    #[tokio::test]
    async fn other_files_are_refused() {
        for (text, word) in [
            ("", "empty"),
            ("hello", "no export"),
            (r#"{"format":"other","version":1}"#, "no export"),
            (r#"{"format":"micro-store","version":2}"#, "version 2 of the format"),
            (r#"{"format":"micro-store","version":1}"#, "is damaged"),
        ] {
            let error = read(text.as_bytes()).await.unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        let error = read(&long).await.unwrap_err().to_string();
        assert!(error.contains("longer than 8 MiB"), "{error}");
    }
}
