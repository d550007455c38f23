//! Lists: a table for people, JSON for programs.

use anyhow::Result;
use serde::Serialize;

use crate::format::{Format, Pad, table};
use crate::output;

/// Prints `items` as JSON, or as a table of which `row` makes a line each. An empty table is `empty`, on stderr.
pub(crate) fn print<T: Serialize, const N: usize>(
    format: &Format,
    items: &[T],
    header: [&str; N],
    row: impl Fn(&T) -> [String; N],
    empty: &str,
) -> Result<()> {
    if format.is_json() {
        return output::json(&items);
    }
    if items.is_empty() {
        output::complain(empty);
        return Ok(());
    }
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(items.iter().map(row));
    Ok(output::print(&table(&rows, Pad::Tab))?)
}
