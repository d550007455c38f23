//! `/v1/store`.

pub(crate) mod delete;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod names;
pub(crate) mod read;
pub(crate) mod write;

use crate::error::Error;

/// Bytes of a table's name.
const TABLE_MAX: usize = 256;

/// A table is named after a service; the backend scopes it, here only what could not be a name is refused.
fn check_table(table: &str) -> Result<(), Error> {
    if table.is_empty() || table.len() > TABLE_MAX || table.contains(|c: char| c.is_control() || c == '/') {
        return Err(micro_api::Error::bad_request(
            "store",
            "the table's name is empty, too long or not printable",
        )
        .into());
    }
    Ok(())
}

/// A key that names one record.
fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(micro_api::Error::bad_request("store", "key is required").into());
    }
    Ok(())
}
