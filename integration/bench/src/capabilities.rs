//! Operations of the capabilities, looped inside one call of a guest, beside the same operations without us.
//!
//! A floor has nothing of ours: it is the client library that the backend has, with a pool of the same size, the
//! statements or scripts that our backend sends, and the same checksums; of what is kept in memory it is a map of the
//! standard library. Both sides ask for the same keys in the same order, and each keeps so many operations under way in
//! one task. One at a time, a time is the median of all; sixteen at a time, it is what an operation takes of the whole.
//! What is networked is judged by its throughput, and so are values of a mebibyte; what is embedded by its time.
//!
//! `store.set` and `events.publish` wait for a disk in SQLite, and are judged twice there. With their files in memory,
//! where nothing waits, they are held against the library on the thread that asks: that is what the platform adds. On the
//! disk they are held against the library by `spawn_blocking`, as a program that answers calls on that thread has to use
//! it; what the library takes there on the thread that asks is shown. Time adds up differently there: after each flush
//! the CPU has slept, and whatever runs next takes several times as long as it does otherwise, ours and the library.
//!
//! A delivery's floor takes as many messages at once as we do, and acknowledges each by itself when its call is over.

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

/// What can be measured by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Store,
    Events,
    Broker,
    Locks,
    Blobs,
    Reads,
    Grown,
}

impl Part {
    pub(crate) const ALL: [Self; 7] =
        [Self::Store, Self::Events, Self::Broker, Self::Locks, Self::Blobs, Self::Reads, Self::Grown];

    /// The name of its group.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Store => "capabilities/store",
            Self::Events => "capabilities/events",
            Self::Broker => "capabilities/broker",
            Self::Locks => "capabilities/locks",
            Self::Blobs => "capabilities/blobs",
            Self::Reads => "capabilities/reads",
            Self::Grown => "capabilities/grown",
        }
    }

    pub(crate) async fn measure(self, effort: Effort) -> Result<Vec<Row>> {
        match self {
            Self::Store => store::measure(effort).await,
            Self::Events => events::measure(effort).await,
            Self::Broker => broker::measure(effort).await,
            Self::Locks => locks::measure(effort).await,
            Self::Blobs => blobs::measure(effort).await,
            Self::Reads => reads::measure(effort).await,
            Self::Grown => grown::measure(effort).await,
        }
    }
}
