//! What was charged to namespaces and paid by them. Entries are added, never changed.

use micro_api::Namespace;
use micro_api::usage::LedgerEntry;

use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, now_ms};

/// Entries of one answer, newest first.
const ENTRIES_MAX: i64 = 1_000;

/// What to note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What it is for, platform-wide: `invoice/<namespace>/2026-11/requests`. A second one of the same is not noted.
    pub entry: String,
    pub namespace: Namespace,
    /// For people.
    pub description: String,
    /// Thousandths of a cent; what is paid is less than 0.
    pub amount_millicents: i64,
    pub currency: String,
}

#[derive(Debug)]
struct Row {
    id: String,
    at_ms: i64,
    description: String,
    amount_millicents: i64,
    currency: String,
}
record!(Row { id, at_ms, description, amount_millicents, currency });

impl Db {
    /// Notes all entries that were not noted before, together or not at all; how many were new. May be repeated.
    pub async fn note(&self, entries: &[NewEntry]) -> Result<u64, Error> {
        if entries.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin_unlocked().await?;
        let mut new = 0;
        for entry in entries {
            let insert = query(
                "ledger.insert",
                "INSERT INTO ledger (id, entry, namespace, at_ms, description, amount_millicents, currency)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (entry) DO NOTHING",
            );
            let insert =
                insert.bind(uuid::Uuid::now_v7().to_string()).bind(&entry.entry).bind(&entry.namespace);
            let insert = insert.bind(now_ms()).bind(&entry.description).bind(entry.amount_millicents);
            new += insert.bind(&entry.currency).execute(&mut tx).await?;
        }
        tx.commit_quietly().await?;
        Ok(new)
    }

    /// The newest entries of a namespace, at most 1 000.
    pub async fn ledger(&self, namespace: &Namespace) -> Result<Vec<LedgerEntry>, Error> {
        let rows = ledger_query().bind(namespace).bind(ENTRIES_MAX).read_all::<Row>(self).await?;
        Ok(rows.into_iter().map(LedgerEntry::from).collect())
    }

    /// Whether an entry was noted.
    pub async fn is_noted(&self, entry: &str) -> Result<bool, Error> {
        let found = query("ledger.noted", "SELECT id FROM ledger WHERE entry = $1").bind(entry);
        Ok(found.read_first::<(String,)>(self).await?.is_some())
    }

    /// Living namespaces of a plan, by name, and when they were made; those after `after`, at most 1 000.
    pub async fn namespaces_of_plan(&self, plan: &str, after: &str) -> Result<Vec<(String, i64)>, Error> {
        namespaces_of_plan_query().bind(plan).bind(after).bind(ENTRIES_MAX).read_all(self).await
    }
}

pub(crate) fn ledger_query() -> Query {
    query(
        "ledger.list",
        "SELECT id, at_ms, description, amount_millicents, currency FROM ledger WHERE namespace = $1
         ORDER BY at_ms DESC, id DESC LIMIT $2",
    )
}

/// By plan, so that those of plans without a price are not looked at.
pub(crate) fn namespaces_of_plan_query() -> Query {
    query(
        "namespaces.of_plan",
        "SELECT namespace, created_ms FROM namespaces WHERE plan = $1 AND namespace > $2 AND deleted_ms IS NULL
         ORDER BY namespace LIMIT $3",
    )
}

impl From<Row> for LedgerEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at_ms: row.at_ms,
            description: row.description,
            amount_millicents: row.amount_millicents,
            currency: row.currency,
        }
    }
}
