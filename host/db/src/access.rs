//! The counter that tells every node to look at credentials, rules and plans again.
//!
//! Whatever ends or changes them bumps it in the same transaction. Nodes read it at least twice a second, and at once
//! when the database wakes them.

use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error};

impl Db {
    /// How often access changed.
    pub async fn access_revision(&self) -> Result<i64, Error> {
        let row = query("counters.access", "SELECT value FROM counters WHERE name = 'access'");
        Ok(row.read_first::<(i64,)>(self).await?.map_or(0, |(value,)| value))
    }
}

/// Tells every node that access changed, once the transaction commits.
pub(crate) async fn bump(tx: &mut Tx) -> Result<(), Error> {
    query("counters.bump", "UPDATE counters SET value = value + 1 WHERE name = 'access'")
        .execute(tx)
        .await
        .map(drop)
}
