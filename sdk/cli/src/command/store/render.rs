//! Records as text, table and JSON.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_api::store::Record;
use serde::Serialize;

use crate::format::{Pad, from_now, table as align};
use crate::output;

/// A longer value is cut in the table.
const VALUE_CHARS_MAX: usize = 50;
/// So many bytes of a value that is no text are shown.
const HEX_BYTES_MAX: usize = 20;

/// One value a line, as it was written.
pub(super) fn values(records: &[Record]) -> Result<()> {
    for record in records {
        let mut value = bytes(record)?;
        value.push(b'\n');
        output::bytes(&value)?;
    }
    Ok(())
}

pub(super) fn table(records: &[Record]) -> Result<String> {
    let mut rows = vec![row("KEY", "VALUE", "EXPIRY")];
    for record in records {
        let expiry = match record.expiry_ms {
            None => "None".to_owned(),
            Some(left) => from_now(Duration::from_millis(u64::try_from(left).unwrap_or_default())),
        };
        rows.push(row(&output::printable(&record.key), &shown(&bytes(record)?), &expiry));
    }
    Ok(align(&rows, Pad::Space))
}

fn row(key: &str, value: &str, expiry: &str) -> [String; 3] {
    [format!("{key} "), format!(" {value} "), format!(" {expiry}")]
}

fn shown(value: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(value) else {
        return format!("0x{}", hex::encode(value.get(..HEX_BYTES_MAX).unwrap_or(value)));
    };
    let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    let mark = if cut.len() < text.len() { "..." } else { "" };
    // A tab or line end would break the table.
    format!("{}{mark}", output::printable(&cut).replace('\t', " "))
}

/// A record as `--output json` shows it: the value in base64, the time left in nanoseconds, 0 for never.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    key: &'a str,
    value: &'a str,
    expiry: i64,
}

pub(super) fn json(records: &[Record]) -> Vec<Row<'_>> {
    let expiry = |record: &Record| record.expiry_ms.map_or(0, |left| left.saturating_mul(1_000_000));
    records
        .iter()
        .map(|record| Row { key: &record.key, value: &record.value, expiry: expiry(record) })
        .collect()
}

fn bytes(record: &Record) -> Result<Vec<u8>> {
    STANDARD.decode(&record.value).with_context(|| format!("the value of `{}` is not base64", record.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8], expiry_ms: Option<i64>) -> Record {
        Record { key: key.into(), value: STANDARD.encode(value), expiry_ms }
    }

    #[test]
    fn the_table_is_micros() {
        let records = [record("key1", b"val1", None), record("key2", b"val2", None)];
        assert_eq!(
            table(&records).unwrap(),
            "KEY    VALUE   EXPIRY\nkey1   val1    None\nkey2   val2    None\n"
        );
        let text = table(&[record("k", b"v", Some(299_000))]).unwrap();
        assert!(text.ends_with("4 minutes from now\n"), "{text}");
    }

    #[test]
    fn values_that_are_long_or_no_text() {
        assert_eq!(shown(&[0xff, 0x01]), "0xff01");
        assert_eq!(shown(&[0xff; 30]), format!("0x{}", "ff".repeat(20)));
        assert_eq!(shown("ü".repeat(51).as_bytes()), format!("{}...", "ü".repeat(50)));
        assert_eq!(shown(b"a\tb\nc\x1b[0m"), "a b\u{fffd}c\u{fffd}[0m");
    }
}
