//! Operations of the capabilities, looped inside one call of a guest, beside the same operations without us.
//!
//! A floor has nothing of ours: it is the client library that the backend has, with a pool of the same size, the
//! statements or scripts that our backend sends, and the same checksums; of what is kept in memory it is a map of the
//! standard library. Both sides ask for the same keys in the same order, and each keeps so many operations under way in
//! one task. One at a time, a time is the median of all; sixteen at a time, it is what an operation takes of the whole.
//! What is networked is judged by its throughput, and so are values of a mebibyte; what is embedded by its time.

mod blobs;
mod broker;
mod compare;
mod delivery;
mod events;
mod floor;
mod grown;
mod locks;
mod looper;
mod map;
mod reads;
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
/// Where the guest publishes.
const TOPIC: &str = "bench";

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = store::measure(effort).await?;
    rows.extend(events::measure(effort).await?);
    rows.extend(broker::measure(effort).await?);
    rows.extend(locks::measure(effort).await?);
    rows.extend(blobs::measure(effort).await?);
    rows.extend(reads::measure(effort).await?);
    rows.extend(grown::measure(effort).await?);
    Ok(rows)
}
