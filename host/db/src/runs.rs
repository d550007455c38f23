//! Runs of schedules: who has a tick, and what became of it.
//!
//! A row is the claim of a tick, and its key lets one node have it, however many see it come. A run is a lease, which its
//! node renews; when the node dies the lease runs out, and whoever sees that first says so: the run is lost, or, where its
//! schedule wants that, the other's from now on. The number of its attempt is the fence, so that a node which was only
//! away changes nothing any more.
//!
//! (Builds have rows of their own in [`crate::jobs`].)

use micro_api::Namespace;
use micro_api::jobs::{Run, RunState};

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error};

/// How long a run is its node's without a word of it.
pub const LEASE_MS: i64 = 10_000;
/// Nodes that may die on one run before it is lost for good.
pub const ATTEMPTS_MAX: i64 = 3;
/// Runs that are kept of one schedule, beside those under way.
pub const HISTORY_MAX: i64 = 100;
/// Bytes of an error that are kept.
pub const ERROR_BYTES_MAX: usize = 1_024;
/// Runs of one answer.
pub const PAGE_MAX: i64 = 1_000;
/// Runs whose node died that one round looks at.
const ROUND_MAX: i64 = 100;
/// Excludes other rounds.
const LOCK: &str = "job_runs";

/// A schedule of a version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScheduleKey {
    pub namespace: Namespace,
    pub service: String,
    pub version: String,
    /// Its name.
    pub schedule: String,
}

/// What a node asks for.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    pub key: &'a ScheduleKey,
    /// The tick; now, of a run by hand. Unix milliseconds.
    pub tick_ms: i64,
    pub by_hand: bool,
    /// A run that is still under way is no reason against it.
    pub overlap: bool,
    /// Begin again what died with its node.
    pub retry: bool,
    /// Only when no later tick than this was had: the last of those that were missed is looked for by every node, and not
    /// all at the same time.
    pub unless_after_ms: Option<i64>,
    /// Who asks.
    pub node: &'a str,
    pub now_ms: i64,
}

/// A run that is its node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRun {
    pub id: String,
    pub key: ScheduleKey,
    pub tick_ms: i64,
    pub by_hand: bool,
    /// The fence.
    pub attempt: i64,
    pub started_ms: i64,
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is the node's.
    Held(HeldRun),
    /// Another run is under way. A tick is noted as skipped; by hand nothing is.
    Overlaps,
    /// Another node has it, or had it.
    Taken,
}

/// A row.
#[derive(Debug)]
struct RunRow {
    id: String,
    namespace: String,
    service: String,
    version: String,
    schedule: String,
    tick_ms: i64,
    state: String,
    by_hand: i64,
    retry: i64,
    attempts: i64,
    node: String,
    started_ms: i64,
    ended_ms: Option<i64>,
    error: Option<String>,
}
record!(RunRow {
    id,
    namespace,
    service,
    version,
    schedule,
    tick_ms,
    state,
    by_hand,
    retry,
    attempts,
    node,
    started_ms,
    ended_ms,
    error,
});

/// All columns of [`RunRow`], and a tail.
macro_rules! select_run {
    ($tail:literal) => {
        concat!(
            "SELECT r.id, r.namespace, r.service, r.version, r.schedule, r.tick_ms, r.state, r.by_hand, r.retry, \
             r.attempts, r.node, r.started_ms, r.ended_ms, r.error FROM job_runs r ",
            $tail
        )
    };
}

impl Db {
    /// Takes a tick for a node, and forgets what is old of its schedule.
    pub async fn claim_run(&self, wish: &Wish<'_>) -> Result<Claimed, Error> {
        let mut tx = self.begin(wish.key.namespace.as_str()).await?;
        if is_taken(&mut tx, wish).await? {
            return Ok(Claimed::Taken);
        }
        let overlaps = !wish.overlap && is_under_way(&mut tx, wish).await?;
        if overlaps && wish.by_hand {
            return Ok(Claimed::Overlaps);
        }
        let held = HeldRun {
            id: uuid::Uuid::now_v7().to_string(),
            key: wish.key.clone(),
            tick_ms: wish.tick_ms,
            by_hand: wish.by_hand,
            attempt: 1,
            started_ms: wish.now_ms,
        };
        if insert(&mut tx, wish, &held, overlaps).await? == 0 {
            return Ok(Claimed::Taken);
        }
        of(query(
            "job_runs.forget",
            "DELETE FROM job_runs WHERE namespace = $1 AND service = $2 AND version = $3 AND schedule = $4
               AND state <> 'running' AND id NOT IN (
                 SELECT id FROM job_runs WHERE namespace = $1 AND service = $2 AND version = $3 AND schedule = $4
                 ORDER BY tick_ms DESC LIMIT $5)",
        ), wish.key)
        .bind(HISTORY_MAX)
        .execute(&mut tx)
        .await?;
        tx.commit_quietly().await?;
        Ok(if overlaps { Claimed::Overlaps } else { Claimed::Held(held) })
    }

    /// Renews the leases of a node's runs. Those that are not its own any more: it should let go of them.
    pub async fn beat_runs(&self, runs: &[HeldRun], now_ms: i64) -> Result<Vec<HeldRun>, Error> {
        let mut tx = self.begin_unlocked().await?;
        let mut gone = Vec::new();
        for run in runs {
            let beat = query(
                "job_runs.beat",
                "UPDATE job_runs SET lease_until_ms = $3 WHERE id = $1 AND attempts = $2 AND state = 'running'",
            );
            let beat = beat.bind(&run.id).bind(run.attempt).bind(now_ms.saturating_add(LEASE_MS));
            if beat.execute(&mut tx).await? == 0 {
                gone.push(run.clone());
            }
        }
        tx.commit_quietly().await?;
        Ok(gone)
    }

    /// Writes down how a run ended; `error` is cut. False when it is not this attempt's any more.
    pub async fn end_run(&self, run: &HeldRun, error: Option<&str>, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let state = if error.is_some() { RunState::Failed } else { RunState::Ok };
        let changed = end(&mut tx, &run.id, run.attempt, state, error, now_ms).await?;
        tx.commit_quietly().await?;
        Ok(changed > 0)
    }

    /// Writes down that a run was not begun after all, and why; it is cut. False when it is not this attempt's any more.
    pub async fn skip_run(&self, run: &HeldRun, reason: &str, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let changed = end(&mut tx, &run.id, run.attempt, RunState::Skipped, Some(reason), now_ms).await?;
        tx.commit_quietly().await?;
        Ok(changed > 0)
    }

    /// Gives runs up whose node is about to end: others find them at once.
    pub async fn release_runs(&self, runs: &[HeldRun]) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for run in runs {
            query(
                "job_runs.release",
                "UPDATE job_runs SET lease_until_ms = 0 WHERE id = $1 AND attempts = $2 AND state = 'running'",
            )
            .bind(&run.id)
            .bind(run.attempt)
            .execute(&mut tx)
            .await?;
        }
        tx.commit_quietly().await
    }

    /// Looks after runs whose node died. One that may begin again is `node`'s from now on where `takes` says so;
    /// all others are lost.
    pub async fn reap_runs(
        &self,
        node: &str,
        now_ms: i64,
        mut takes: impl FnMut(&ScheduleKey) -> bool + Send,
    ) -> Result<Vec<HeldRun>, Error> {
        // Most questions find nothing: they should not make writers wait.
        let any = query(
            "job_runs.died",
            "SELECT id FROM job_runs WHERE state = 'running' AND lease_until_ms < $1 LIMIT 1",
        );
        if any.bind(now_ms).read_first::<(String,)>(self).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin(LOCK).await?;
        let died = query(
            "job_runs.reap",
            select_run!(
                "WHERE r.state = 'running' AND r.lease_until_ms < $1 ORDER BY r.lease_until_ms LIMIT $2"
            ),
        );
        let died = died.bind(now_ms).bind(ROUND_MAX).all::<RunRow>(&mut tx).await?;
        let mut taken = Vec::new();
        for row in died {
            let key = row.key()?;
            if row.retry != 0 && row.attempts < ATTEMPTS_MAX && takes(&key) {
                let changed = query(
                    "job_runs.again",
                    "UPDATE job_runs SET attempts = $3, node = $4, lease_until_ms = $5, started_ms = $6
                     WHERE id = $1 AND attempts = $2 AND state = 'running' AND lease_until_ms < $6",
                )
                .bind(&row.id)
                .bind(row.attempts)
                .bind(row.attempts + 1)
                .bind(node)
                .bind(now_ms.saturating_add(LEASE_MS))
                .bind(now_ms)
                .execute(&mut tx)
                .await?;
                if changed > 0 {
                    let (attempt, by_hand) = (row.attempts + 1, row.by_hand != 0);
                    let HeldRun { id, tick_ms, .. } = row.held(key.clone());
                    taken.push(HeldRun { id, key, tick_ms, by_hand, attempt, started_ms: now_ms });
                }
            } else {
                let text = format!("the node {} ended while it ran", row.node);
                query(
                    "job_runs.lose",
                    "UPDATE job_runs SET state = 'lost', error = $3, ended_ms = $4
                     WHERE id = $1 AND attempts = $2 AND state = 'running' AND lease_until_ms < $4",
                )
                .bind(&row.id)
                .bind(row.attempts)
                .bind(text)
                .bind(now_ms)
                .execute(&mut tx)
                .await?;
            }
        }
        tx.commit_quietly().await?;
        Ok(taken)
    }

    /// The newest tick that was had of each schedule; runs by hand are none.
    pub async fn last_ticks(&self) -> Result<Vec<(ScheduleKey, i64)>, Error> {
        let rows = query(
            "job_runs.ticks",
            "SELECT namespace, service, version, schedule, MAX(tick_ms) FROM job_runs WHERE by_hand = 0
             GROUP BY namespace, service, version, schedule",
        );
        let rows = rows.read_all::<(String, String, String, String, i64)>(self).await?;
        let key = |(namespace, service, version, schedule, tick_ms): (String, _, _, _, _)| {
            let namespace = crate::projects::parse(&namespace)?;
            Ok((ScheduleKey { namespace, service, version, schedule }, tick_ms))
        };
        rows.into_iter().map(key).collect()
    }

    /// The newest run of each schedule of `namespace`, runs by hand included.
    pub async fn last_runs(&self, namespace: &Namespace) -> Result<Vec<Run>, Error> {
        let rows = query(
            "job_runs.last",
            select_run!(
                "WHERE r.namespace = $1 AND NOT EXISTS (SELECT 1 FROM job_runs n WHERE n.namespace = r.namespace
                   AND n.service = r.service AND n.version = r.version AND n.schedule = r.schedule
                   AND n.tick_ms > r.tick_ms)"
            ),
        );
        rows.bind(namespace).read_all::<RunRow>(self).await?.into_iter().map(RunRow::into_run).collect()
    }

    /// Runs of `namespace`, newest first, at most `limit` and [`PAGE_MAX`]; of one service, version or schedule where
    /// it is named.
    pub async fn runs(
        &self,
        namespace: &Namespace,
        service: Option<&str>,
        version: Option<&str>,
        schedule: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Run>, Error> {
        let rows = query(
            "job_runs.list",
            select_run!(
                "WHERE r.namespace = $1 AND ($2 = '' OR r.service = $2) AND ($3 = '' OR r.version = $3)
                   AND ($4 = '' OR r.schedule = $4) ORDER BY r.tick_ms DESC, r.id DESC LIMIT $5"
            ),
        )
        .bind(namespace)
        .bind(service.unwrap_or_default())
        .bind(version.unwrap_or_default())
        .bind(schedule.unwrap_or_default())
        .bind(limit.clamp(1, PAGE_MAX));
        rows.read_all::<RunRow>(self).await?.into_iter().map(RunRow::into_run).collect()
    }

    /// One run of `namespace`.
    pub async fn run(&self, namespace: &Namespace, id: &str) -> Result<Option<Run>, Error> {
        let row = query("job_runs.get", select_run!("WHERE r.namespace = $1 AND r.id = $2"));
        row.bind(namespace).bind(id).read_first::<RunRow>(self).await?.map(RunRow::into_run).transpose()
    }

    /// Forgets runs that ended before `before_ms`, whosever they were; how many.
    pub async fn prune_runs(&self, before_ms: i64) -> Result<u64, Error> {
        let mut tx = self.begin_unlocked().await?;
        let prune = query("job_runs.prune", "DELETE FROM job_runs WHERE ended_ms < $1");
        let removed = prune.bind(before_ms).execute(&mut tx).await?;
        tx.commit_quietly().await?;
        Ok(removed)
    }
}

impl RunRow {
    fn key(&self) -> Result<ScheduleKey, Error> {
        Ok(ScheduleKey {
            namespace: crate::projects::parse(&self.namespace)?,
            service: self.service.clone(),
            version: self.version.clone(),
            schedule: self.schedule.clone(),
        })
    }

    fn held(self, key: ScheduleKey) -> HeldRun {
        HeldRun {
            id: self.id,
            key,
            tick_ms: self.tick_ms,
            by_hand: self.by_hand != 0,
            attempt: self.attempts,
            started_ms: self.started_ms,
        }
    }

    fn into_run(self) -> Result<Run, Error> {
        let state = RunState::parse(&self.state);
        Ok(Run {
            id: self.id,
            service: self.service,
            version: self.version,
            schedule: self.schedule,
            tick_ms: self.tick_ms,
            state: state.ok_or(Error::Malformed { what: "state of a run", text: self.state })?,
            by_hand: self.by_hand != 0,
            attempts: self.attempts,
            node: self.node,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            error: self.error,
        })
    }
}

/// Binds a schedule as the first four parameters.
fn of(query: Query, key: &ScheduleKey) -> Query {
    query.bind(&key.namespace).bind(&key.service).bind(&key.version).bind(&key.schedule)
}

async fn is_taken(tx: &mut Tx, wish: &Wish<'_>) -> Result<bool, Error> {
    let Some(after_ms) = wish.unless_after_ms else { return Ok(false) };
    let later = query(
        "job_runs.later",
        "SELECT id FROM job_runs WHERE namespace = $1 AND service = $2 AND version = $3 AND schedule = $4
         AND tick_ms > $5 AND by_hand = 0 LIMIT 1",
    );
    Ok(of(later, wish.key).bind(after_ms).first::<(String,)>(tx).await?.is_some())
}

async fn is_under_way(tx: &mut Tx, wish: &Wish<'_>) -> Result<bool, Error> {
    let running = query(
        "job_runs.under_way",
        "SELECT id FROM job_runs WHERE namespace = $1 AND service = $2 AND version = $3 AND schedule = $4
         AND state = 'running' AND lease_until_ms >= $5 LIMIT 1",
    );
    Ok(of(running, wish.key).bind(wish.now_ms).first::<(String,)>(tx).await?.is_some())
}

/// How many rows that made: none where another has the tick.
async fn insert(tx: &mut Tx, wish: &Wish<'_>, held: &HeldRun, skipped: bool) -> Result<u64, Error> {
    let state = if skipped { RunState::Skipped } else { RunState::Running };
    let lease_until_ms = if skipped { 0 } else { wish.now_ms.saturating_add(LEASE_MS) };
    let insert = query(
        "job_runs.insert",
        "INSERT INTO job_runs (namespace, service, version, schedule, id, tick_ms, state, by_hand, retry, attempts, node,
           lease_until_ms, started_ms, ended_ms, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $14 = 1 THEN $13 END, $15)
         ON CONFLICT (namespace, service, version, schedule, tick_ms) DO NOTHING",
    );
    of(insert, wish.key)
        .bind(&held.id)
        .bind(wish.tick_ms)
        .bind(state.as_str())
        .bind(i64::from(wish.by_hand))
        .bind(i64::from(wish.retry))
        .bind(i64::from(!skipped))
        .bind(wish.node)
        .bind(lease_until_ms)
        .bind(wish.now_ms)
        .bind(i64::from(skipped))
        .bind(skipped.then(|| "the run before was still under way".to_owned()))
        .execute(tx)
        .await
}

async fn end(
    tx: &mut Tx,
    id: &str,
    attempt: i64,
    state: RunState,
    error: Option<&str>,
    now_ms: i64,
) -> Result<u64, Error> {
    let end = query(
        "job_runs.end",
        "UPDATE job_runs SET state = $3, error = $4, ended_ms = $5
         WHERE id = $1 AND attempts = $2 AND state = 'running'",
    );
    let error = error.map(|text| bounded(text).to_owned());
    end.bind(id).bind(attempt).bind(state.as_str()).bind(error).bind(now_ms).execute(tx).await
}

/// The beginning of a text.
fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or_default()
}
