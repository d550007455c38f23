//! Operations of the capabilities, looped inside one call of a guest, beside the same operations without a guest.
//!
//! The floor of what is embedded is the backend itself, called in this process; of what is networked it is the client
//! library, with a pool of the same size and the statement or script that our backend sends. Both sides ask for the same
//! keys in the same order, and each keeps so many operations under way in one task. One at a time, a time is the median
//! of all; sixteen at a time, it is what an operation takes of the whole.

mod compare;
mod events;
mod floor;
mod grown;
mod looper;
mod others;
mod seed;
mod servers;
mod sqlite;
mod store;

use anyhow::Result;

use crate::Effort;
use crate::table::Row;

/// Bytes of a value.
const VALUE_BYTES: u64 = 200;
/// Keys of a table that has not grown: all are hot.
const KEYS: u64 = 10_000;

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = store::measure(effort).await?;
    rows.extend(events::measure(effort).await?);
    rows.extend(others::measure(effort).await?);
    rows.extend(grown::measure(effort).await?);
    Ok(rows)
}
