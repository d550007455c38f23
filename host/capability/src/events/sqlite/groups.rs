//! One namespace's file: the groups.

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::file::{EventFile, Fault, after, append, event, failed, from_sql, last, read_after, to_sql};
use super::trim::{SWEEP_STEPS, trim};
use crate::events::{
    Delivery, Error, Event, GROUPS_MAX, GroupInfo, GroupKey, IN_FLIGHT_MAX, Lease, Nack, New, PENDING_MAX,
    READ_BYTES_MAX, REASON_BYTES_MAX, Then, TopicKey,
};

/// How exactly it is known when a group asked, milliseconds: far less than what ends an ephemeral one.
const ASKED_MS: u64 = 60_000;
/// Why an event is delivered again that nobody refused.
const SILENCE: &str = "no answer within ack_wait";

/// What a group got.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) deliveries: Vec<Delivery>,
    /// Something went to the dead-letter topic.
    pub(crate) died: bool,
}

/// A delivery that is not done with.
struct Pending {
    event: Event,
    attempts: u32,
    reason: String,
}

impl EventFile {
    pub(crate) fn next(&mut self, group: &GroupKey, lease: &Lease, now_ms: u64) -> Result<Taken, Error> {
        let (retention, namespace) = (self.follow_plan()?, self.namespace().clone());
        self.transact("take events", |file| {
            // First, so that what is too old counts as lost: the cursor would pass over it.
            trim(file, &namespace, retention, now_ms, SWEEP_STEPS)?;
            let Some(cursor) = join(file, group, lease, now_ms)? else { return Ok(Taken::default()) };
            let (leased, pending) = count(file, group, now_ms)?;
            let room = lease.in_flight.min(IN_FLIGHT_MAX).saturating_sub(leased).min(lease.max);
            let mut taken = Taken::default();
            let due = now_ms.saturating_add(lease.ack_wait_ms);
            again(file, group, lease, now_ms, room, &mut taken)?;
            let bytes: usize = taken.deliveries.iter().map(|delivery| delivery.event.payload.len()).sum();
            let left = (room - taken.deliveries.len()).min(PENDING_MAX.saturating_sub(pending));
            if left == 0 || bytes >= READ_BYTES_MAX {
                return Ok(taken);
            }
            let (topic, name) = (group.topic().topic(), group.group());
            let page = read_after(file, topic, cursor, 0, left)?;
            if page.events.is_empty() {
                return Ok(taken);
            }
            for event in page.events {
                let sql = "INSERT INTO pending VALUES (?1, ?2, ?3, 1, 1, ?4, ?5)";
                let values = params![topic, name, to_sql(event.position), to_sql(due), SILENCE];
                file.prepare_cached(sql)?.execute(values)?;
                taken.deliveries.push(Delivery { event, attempt: 1 });
            }
            let sql = "UPDATE groups SET cursor = ?3 WHERE topic = ?1 AND name = ?2";
            file.prepare_cached(sql)?.execute(params![topic, name, to_sql(page.after)])?;
            Ok(taken)
        })
    }

    pub(crate) fn ack(&mut self, group: &GroupKey, ids: &[Uuid]) -> Result<usize, Error> {
        self.transact("acknowledge events", |file| {
            let sql = "DELETE FROM pending WHERE topic = ?1 AND name = ?2
                       AND position = (SELECT position FROM events WHERE topic = ?1 AND id = ?3)";
            let mut delete = file.prepare_cached(sql)?;
            let mut was = 0;
            for id in ids {
                was += delete.execute(params![
                    group.topic().topic(),
                    group.group(),
                    id.as_bytes().as_slice()
                ])?;
            }
            Ok(was)
        })
    }

    pub(crate) fn nack(
        &mut self,
        group: &GroupKey,
        id: Uuid,
        nack: &Nack,
        now_ms: u64,
    ) -> Result<bool, Error> {
        self.transact("refuse an event", |file| {
            let sql = "SELECT e.position, e.id, e.timestamp, e.metadata, e.payload, p.attempts, g.retries
                       FROM events e JOIN pending p ON p.topic = e.topic AND p.position = e.position
                       JOIN groups g ON g.topic = p.topic AND g.name = p.name
                       WHERE e.topic = ?1 AND p.name = ?2 AND e.id = ?3 AND p.attempts = ?4 AND p.leased = 1";
            let (topic, name) = (group.topic().topic(), group.group());
            let values = params![topic, name, id.as_bytes().as_slice(), nack.attempt];
            let found = file.prepare_cached(sql)?.query_row(values, |row| {
                Ok((event(row)?, row.get::<_, u32>(5)?, row.get::<_, Option<u32>>(6)?))
            });
            let Some((event, attempts, retries)) = found.optional()? else { return Ok(false) };
            let reason = cut(&nack.reason).to_owned();
            let spent = nack.then == Then::Again && retries.is_some_and(|retries| attempts > retries);
            if nack.then == Then::Dead || spent {
                bury(file, group, Pending { event, attempts, reason }, now_ms)?;
                return Ok(true);
            }
            let sql = "UPDATE pending SET leased = 0, due = ?4, reason = ?5, attempts = ?6
                       WHERE topic = ?1 AND name = ?2 AND position = ?3";
            let due = to_sql(now_ms.saturating_add(nack.delay_ms));
            let attempts = attempts - u32::from(nack.then == Then::Unheard);
            let values = params![topic, name, to_sql(event.position), due, reason, attempts];
            file.prepare_cached(sql)?.execute(values)?;
            Ok(true)
        })
    }

    pub(crate) fn groups(&mut self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error> {
        let groups = || {
            let sql = "SELECT name, cursor,
                         (SELECT count(*) FROM pending p WHERE p.topic = g.topic AND p.name = g.name),
                         (SELECT count(*) FROM events e WHERE e.topic = g.topic AND e.position > g.cursor)
                       FROM groups g WHERE topic = ?1 ORDER BY name";
            let mut select = self.connection().prepare_cached(sql)?;
            let rows = select.query_map([topic.topic()], |row| {
                Ok(GroupInfo {
                    group: row.get(0)?,
                    cursor: from_sql(row.get(1)?),
                    pending: from_sql(row.get(2)?),
                    behind: from_sql(row.get(3)?),
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        groups().map_err(|error| failed("list groups", &error))
    }
}

/// The group's cursor; makes the group if there is none, unless its topic is not there.
fn join(file: &Connection, group: &GroupKey, lease: &Lease, now_ms: u64) -> Result<Option<i64>, Fault> {
    let (topic, name) = (group.topic().topic(), group.group());
    // Written only now and then: a group that asks in vain costs no write.
    let sql = "UPDATE groups SET retries = ?3, asked = ?4
               WHERE topic = ?1 AND name = ?2 AND (retries IS NOT ?3 OR asked < ?5)";
    let before = to_sql(now_ms.saturating_sub(ASKED_MS));
    let values = params![topic, name, lease.retries, to_sql(now_ms), before];
    file.prepare_cached(sql)?.execute(values)?;
    let sql = "SELECT cursor FROM groups WHERE topic = ?1 AND name = ?2";
    let found = file.prepare_cached(sql)?.query_row([topic, name], |row| row.get(0)).optional()?;
    if found.is_some() || last(file, topic)?.is_none() {
        return Ok(found);
    }
    let groups: i64 = file
        .prepare_cached("SELECT count(*) FROM groups WHERE topic = ?1")?
        .query_row([topic], |row| row.get(0))?;
    if from_sql(groups) >= GROUPS_MAX as u64 {
        return Err(Fault::Refused(Error::Groups));
    }
    let cursor = after(file, topic, lease.start)?;
    let sql = "INSERT INTO groups VALUES (?1, ?2, ?3, ?4, ?5)";
    file.prepare_cached(sql)?.execute(params![topic, name, cursor, lease.retries, to_sql(now_ms)])?;
    Ok(Some(cursor))
}

/// Leases that run, and all that is pending.
fn count(file: &Connection, group: &GroupKey, now_ms: u64) -> rusqlite::Result<(usize, usize)> {
    let sql =
        "SELECT coalesce(sum(leased AND due > ?3), 0), count(*) FROM pending WHERE topic = ?1 AND name = ?2";
    let values = params![group.topic().topic(), group.group(), to_sql(now_ms)];
    let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    file.prepare_cached(sql)?.query_row(values, |row| Ok((count(row.get(0)?), count(row.get(1)?))))
}

/// Delivers again what is due, or buries it.
fn again(
    file: &Connection,
    group: &GroupKey,
    lease: &Lease,
    now_ms: u64,
    room: usize,
    taken: &mut Taken,
) -> Result<(), Fault> {
    let (topic, name) = (group.topic().topic(), group.group());
    let sql = "SELECT e.position, e.id, e.timestamp, e.metadata, e.payload, p.attempts, p.reason
               FROM pending p JOIN events e ON e.topic = p.topic AND e.position = p.position
               WHERE p.topic = ?1 AND p.name = ?2 AND p.due <= ?3 ORDER BY p.position";
    let mut select = file.prepare_cached(sql)?;
    let mut rows = select.query(params![topic, name, to_sql(now_ms)])?;
    let (mut due, mut dead, mut bytes) = (Vec::new(), Vec::new(), 0);
    // Ends: at most PENDING_MAX are there. The bytes bound what is in memory.
    while let Some(row) = rows.next()? {
        let pending = Pending { event: event(row)?, attempts: row.get(5)?, reason: row.get(6)? };
        let spent = lease.retries.is_some_and(|retries| pending.attempts > retries);
        if !spent && due.len() == room {
            break;
        }
        bytes += pending.event.payload.len();
        if bytes > READ_BYTES_MAX && !(due.is_empty() && dead.is_empty()) {
            break;
        }
        if spent { dead.push(pending) } else { due.push(pending) }
    }
    for pending in dead {
        bury(file, group, pending, now_ms)?;
        taken.died = true;
    }
    for Pending { event, attempts, .. } in due {
        let sql = "UPDATE pending SET attempts = attempts + 1, leased = 1, due = ?4, reason = ?5
                   WHERE topic = ?1 AND name = ?2 AND position = ?3";
        let until = to_sql(now_ms.saturating_add(lease.ack_wait_ms));
        let values = params![topic, name, to_sql(event.position), until, SILENCE];
        file.prepare_cached(sql)?.execute(values)?;
        taken.deliveries.push(Delivery { event, attempt: attempts + 1 });
    }
    Ok(())
}

/// Moves an event to the dead-letter topic; one of a dead-letter topic is only dropped.
fn bury(file: &Connection, group: &GroupKey, pending: Pending, now_ms: u64) -> Result<(), Fault> {
    let Pending { event, attempts, reason } = pending;
    let (topic, name) = (group.topic().topic(), group.group());
    let sql = "DELETE FROM pending WHERE topic = ?1 AND name = ?2 AND position = ?3";
    file.prepare_cached(sql)?.execute(params![topic, name, to_sql(event.position)])?;
    let namespace = group.topic().namespace();
    tracing::warn!(%namespace, topic, group = name, id = %event.id, attempts, "an event was delivered too often");
    let Some(dead) = group.topic().dead() else { return Ok(()) };
    let mut metadata = event.metadata;
    metadata.extend([
        ("Micro-Dead-Id".to_owned(), event.id.to_string()),
        ("Micro-Dead-Position".to_owned(), event.position.to_string()),
        ("Micro-Dead-Group".to_owned(), name.to_owned()),
        ("Micro-Dead-Attempts".to_owned(), attempts.to_string()),
        ("Micro-Dead-Reason".to_owned(), reason),
    ]);
    let letter = New { id: Uuid::new_v4(), metadata, payload: event.payload };
    append(file, dead.topic(), &[letter], now_ms).map(drop)
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}
