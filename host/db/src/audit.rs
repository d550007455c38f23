//! The audit log: who did what, written in the transaction that does it.
//!
//! Ids are UUIDs of version 7, so their order is that of time. Names stand in the rows; when a person is erased, a
//! pseudonym takes the place of the name ([`pseudonym`]).

use micro_api::Namespace;
use micro_api::team::AuditRecord;
use micro_artifact::Digest;

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::{Db, Error, now_ms};

/// Rows of one page at most.
pub const PAGE_MAX: i64 = 200;
/// Greater than every id: the page before it is the newest.
const NEWEST: &str = "~";
/// Characters of a subject or a detail that are kept.
const TEXT_MAX: usize = 500;

/// Who does something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// Id of the person, account or key.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// The address that it comes from; empty: from this machine or the platform itself.
    pub address: String,
}

/// A line to be written.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub actor: &'a Actor,
    /// Whose log it is in; empty: the operator's alone.
    pub namespace: &'a str,
    /// `<thing>.<verb>`, such as `key.create`.
    pub action: &'static str,
    /// What it was done to. An e-mail address or a name stands here alone, so that it can be erased.
    pub subject: &'a str,
    /// More, in words; never an e-mail address, a name or a secret.
    pub detail: &'a str,
}

impl Db {
    /// Writes a line in a transaction of its own, for what has none.
    pub async fn audit(&self, entry: Entry<'_>) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        write(&mut tx, entry).await?;
        tx.commit().await
    }

    /// The lines of a namespace, newest first, at most [`PAGE_MAX`]. `after`: the last id of the page before; empty:
    /// the first page.
    pub async fn audit_of(
        &self,
        namespace: &Namespace,
        after: &str,
        limit: i64,
    ) -> Result<Vec<AuditRecord>, Error> {
        let rows = of_namespace(namespace.as_str(), after, limit).read_all::<Row>(self).await?;
        Ok(rows.into_iter().map(record).collect())
    }

    /// The lines of all, as [`Db::audit_of`].
    pub async fn audit_of_all(&self, after: &str, limit: i64) -> Result<Vec<AuditRecord>, Error> {
        let rows = of_all(after, limit).read_all::<Row>(self).await?;
        Ok(rows.into_iter().map(record).collect())
    }
}

/// Adds a line to a transaction.
pub(crate) async fn write(tx: &mut Tx, entry: Entry<'_>) -> Result<(), Error> {
    query(
        "audit.insert",
        "INSERT INTO audit (id, at_ms, namespace, actor, actor_name, action, subject, address, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(now_ms())
    .bind(entry.namespace)
    .bind(&entry.actor.id)
    .bind(&entry.actor.name)
    .bind(entry.action)
    .bind(bounded(entry.subject))
    .bind(&entry.actor.address)
    .bind(bounded(entry.detail))
    .execute(tx)
    .await
    .map(drop)
}

/// Takes a person out of the log: the pseudonym stands where the name and the address of the mail were, and no line
/// says any more where it came from.
pub(crate) async fn erase(tx: &mut Tx, person: &str, names: &[&str]) -> Result<(), Error> {
    let pseudonym = pseudonym(person);
    rename_actor(tx, person, &pseudonym).await?;
    query("audit.erase_address", "UPDATE audit SET address = '' WHERE actor = $1")
        .bind(person)
        .execute(tx)
        .await?;
    for name in names {
        rename_subject(tx, name, &pseudonym).await?;
    }
    Ok(())
}

/// The log shows people by the name that they have now, so that erasing one later misses no line.
pub(crate) async fn rename_actor(tx: &mut Tx, person: &str, name: &str) -> Result<(), Error> {
    let rename = query("audit.rename_actor", "UPDATE audit SET actor_name = $2 WHERE actor = $1");
    rename.bind(person).bind(name).execute(tx).await?;
    // The history of configurations is another log of who did what.
    crate::config::rename_actor(tx, person, name).await
}

/// As [`rename_actor`], where something was done to a person.
pub(crate) async fn rename_subject(tx: &mut Tx, before: &str, after: &str) -> Result<(), Error> {
    // Only where a subject is a person: a project or a service may have the same name.
    query(
        "audit.rename_subject",
        "UPDATE audit SET subject = $2 WHERE subject = $1
         AND (action LIKE 'person.%' OR action LIKE 'member.%' OR action LIKE 'invitation.%'
           OR action LIKE 'session.%' OR action LIKE 'token.%')",
    )
    .bind(before)
    .bind(after)
    .execute(tx)
    .await
    .map(drop)
}

/// What stands in the log for a person who is gone: the same for all their lines, and no way back to them.
pub fn pseudonym(person: &str) -> String {
    let digest = Digest::of(format!("pseudonym {person}").as_bytes()).to_string();
    let hex = digest.rsplit(':').next().unwrap_or_default();
    format!("person-{}", hex.get(..10).unwrap_or(hex))
}

pub(crate) fn of_namespace(namespace: &str, after: &str, limit: i64) -> Query {
    query(
        "audit.of_namespace",
        // By time first, although ids have the same order: with that of the ids alone PostgreSQL may walk the primary
        // key through everybody's lines.
        "SELECT id, at_ms, actor_name, action, subject, address, detail FROM audit
         WHERE namespace = $1
           AND (at_ms, id) < (COALESCE((SELECT at_ms FROM audit WHERE id = $2), 9223372036854775807), $2)
         ORDER BY at_ms DESC, id DESC LIMIT $3",
    )
    .bind(namespace)
    .bind(before(after))
    .bind(limit.clamp(1, PAGE_MAX))
}

pub(crate) fn of_all(after: &str, limit: i64) -> Query {
    query(
        "audit.of_all",
        "SELECT id, at_ms, actor_name, action, subject, address, detail FROM audit
         WHERE id < $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(before(after))
    .bind(limit.clamp(1, PAGE_MAX))
}

/// The bound of a page that begins after `after`.
pub(crate) fn before(after: &str) -> &str {
    if after.is_empty() { NEWEST } else { after }
}

type Row = (String, i64, String, String, String, String, String);

fn record((id, at_ms, actor, action, subject, address, detail): Row) -> AuditRecord {
    AuditRecord { id, at_ms, actor, action, subject, address, detail }
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
