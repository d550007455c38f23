//! Removes what retention does not keep. It beats a group that is behind: what such a group loses is counted.

use micro_api::name::Namespace;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::file::{EventFile, Fault, from_sql, held, to_sql};
use crate::events::key::EPHEMERAL;
use crate::events::{Error, Retention};

/// Events removed at a time.
const STEP: i64 = 256;
/// Steps of one sweep of a file; the next goes on.
pub(crate) const SWEEP_STEPS: usize = 40;
/// How long an ephemeral group lives that nobody asks for, milliseconds.
const EPHEMERAL_MS: u64 = 600_000;

impl EventFile {
    /// Removes old events, and ephemeral groups that nobody asks for.
    pub(crate) fn sweep(&mut self, now_ms: u64) -> Result<(), Error> {
        let (retention, namespace) = (self.follow_plan()?, self.namespace().clone());
        self.transact("remove old events", |transaction| {
            trim(transaction, &namespace, retention, now_ms, SWEEP_STEPS)?;
            forget_idle(transaction, now_ms)?;
            Ok(())
        })
    }
}

/// At most so many steps: an append must make room for all that it adds, a sweep may go on later.
pub(crate) fn trim(
    file: &Connection,
    namespace: &Namespace,
    retention: Retention,
    now_ms: u64,
    steps: usize,
) -> Result<(), Fault> {
    let oldest = to_sql(now_ms.saturating_sub(retention.age_ms));
    let mut lost = 0;
    for _ in 0..steps {
        let too_many = held(file)?.saturating_sub(retention.bytes);
        let Some(cut) = cut(file, oldest, too_many)? else { break };
        lost += remove_to(file, cut)?;
    }
    if lost > 0 {
        tracing::warn!(%namespace, lost, "retention removed events that a group had not acknowledged");
    }
    Ok(())
}

/// The last event of a step to remove.
fn cut(file: &Connection, oldest: i64, too_many: u64) -> rusqlite::Result<Option<i64>> {
    let mut select = file.prepare_cached("SELECT seq, timestamp, bytes FROM events ORDER BY seq LIMIT ?1")?;
    let mut rows = select.query([STEP])?;
    let (mut cut, mut freed) = (None, 0);
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= oldest && freed >= too_many {
            break;
        }
        cut = Some(row.get(0)?);
        freed += from_sql(row.get(2)?);
    }
    Ok(cut)
}

fn remove_to(file: &Connection, cut: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT e.topic, count(*) FROM events e JOIN groups g ON g.topic = e.topic
               WHERE e.seq <= ?1 AND (e.position > g.cursor OR EXISTS (SELECT 1 FROM pending p
                 WHERE p.topic = e.topic AND p.name = g.name AND p.position = e.position))
               GROUP BY e.topic";
    let mut select = file.prepare_cached(sql)?;
    let lost = select.query_map([cut], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let lost: Vec<_> = lost.collect::<rusqlite::Result<_>>()?;
    for (topic, count) in &lost {
        let sql = "UPDATE topics SET lost = lost + ?2 WHERE topic = ?1";
        file.prepare_cached(sql)?.execute(params![topic, count])?;
    }
    let sql =
        "DELETE FROM pending WHERE (topic, position) IN (SELECT topic, position FROM events WHERE seq <= ?1)";
    file.prepare_cached(sql)?.execute([cut])?;
    file.prepare_cached("DELETE FROM events WHERE seq <= ?1")?.execute([cut])?;
    Ok(lost.iter().map(|(_, count)| from_sql(*count)).sum())
}

fn forget_idle(file: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    let idle = to_sql(now_ms.saturating_sub(EPHEMERAL_MS));
    let sql = "SELECT topic, name FROM groups WHERE substr(name, 1, 1) = ?1 AND asked < ?2 LIMIT 1";
    for _ in 0..STEP {
        let found: Option<(String, String)> = file
            .prepare_cached(sql)?
            .query_row(params![EPHEMERAL.to_string(), idle], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((topic, name)) = found else { break };
        for table in ["pending", "groups"] {
            let sql = format!("DELETE FROM {table} WHERE topic = ?1 AND name = ?2");
            file.prepare_cached(&sql)?.execute([&topic, &name])?;
        }
    }
    Ok(())
}
