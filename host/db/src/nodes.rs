//! Nodes: which are alive, and what is whose.
//!
//! A node is alive while its lease lasts, by the clock of the database, which all nodes share. What it starts and the
//! jobs that it runs name it, and stay its own until that lease has run out: then another node takes them. A node that
//! starts again has its id from its data folder, so it takes back at once what it had.

use crate::dialect::Tx;
use crate::query::query;
use crate::row::Record;
use crate::state::Held;
use crate::{Db, Error};

/// How long a node has what is its own without a word of it.
pub const LEASE_MS: i64 = 10_000;
/// Excludes others who take what one node does for all.
const LEADS: &str = "leads";

/// What came of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease was this process's all the time, or had run out while no other node was there to take anything.
    Kept,
    /// It begins now: others may have taken what this process had.
    Begun,
}

impl Db {
    /// Renews the lease of a node, or begins it.
    pub async fn beat_node(&self, node: &str, process: &str, ttl_ms: i64) -> Result<Beat, Error> {
        let mut tx = self.begin_unlocked().await?;
        let now = tx.clock_ms().await?;
        let until = now.saturating_add(ttl_ms);
        let beat = query(
            "nodes.beat",
            "UPDATE nodes SET lease_until_ms = $3 WHERE id = $1 AND process = $2 AND (lease_until_ms > $4
               OR NOT EXISTS (SELECT 1 FROM nodes o WHERE o.id <> $1 AND o.lease_until_ms > nodes.lease_until_ms))",
        );
        let beat = beat.bind(node).bind(process).bind(until).bind(now);
        let kept = beat.execute(&mut tx).await? > 0;
        if !kept {
            let begin = query(
                "nodes.begin",
                "INSERT INTO nodes (id, process, lease_until_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET process = excluded.process, lease_until_ms = excluded.lease_until_ms",
            );
            begin.bind(node).bind(process).bind(until).execute(&mut tx).await?;
        }
        tx.commit_quietly().await?;
        Ok(if kept { Beat::Kept } else { Beat::Begun })
    }

    /// Ends the lease of a process that is about to end, and wakes the others: what it had is theirs.
    pub async fn release_node(&self, node: &str, process: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let now = tx.clock_ms().await?;
        // Its row stays for a while: it tells a node whose lease had run out that this one may have taken something.
        let release =
            query("nodes.release", "UPDATE nodes SET lease_until_ms = $3 WHERE id = $1 AND process = $2");
        if release.bind(node).bind(process).bind(now).execute(&mut tx).await? > 0 {
            // What it did last is as old as its last word: what it began since may not be done.
            let leave = query("leads.leave", "UPDATE leads SET node = '' WHERE node = $1");
            leave.bind(node).execute(&mut tx).await?;
        }
        tx.commit().await
    }

    /// The nodes that are alive, in a fixed order.
    pub async fn live_nodes(&self) -> Result<Vec<String>, Error> {
        let now = self.clock_ms().await?;
        let rows =
            query("nodes.live", "SELECT id FROM nodes WHERE lease_until_ms > $1 ORDER BY id").bind(now);
        Ok(rows.read_all::<(String,)>(self).await?.into_iter().map(|(id,)| id).collect())
    }

    /// Forgets nodes whose lease ended so long ago.
    pub async fn sweep_nodes(&self, age_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let now = tx.clock_ms().await?;
        let sweep = query("nodes.sweep", "DELETE FROM nodes WHERE lease_until_ms < $1");
        sweep.bind(now.saturating_sub(age_ms)).execute(&mut tx).await?;
        tx.commit_quietly().await
    }

    /// Takes what one node does for all, or keeps it. None: another has it, whose last word is no lease ago; else for
    /// how many milliseconds nobody was sure to do it, all of them where nobody ever did.
    pub async fn lead(&self, name: &str, node: &str, ttl_ms: i64) -> Result<Option<i64>, Error> {
        let mut tx = self.begin(LEADS).await?;
        let now = tx.clock_ms().await?;
        bound(&mut tx, now).await?;
        let row = query("leads.get", "SELECT node, alive_ms FROM leads WHERE name = $1").bind(name);
        let before = row.first::<(String, i64)>(&mut tx).await?;
        let is_free = |(of, alive): &(String, i64)| of.is_empty() || of == node || *alive <= now - ttl_ms;
        if before.as_ref().is_some_and(|before| !is_free(before)) {
            tx.commit_quietly().await?;
            return Ok(None);
        }
        let take = query(
            "leads.take",
            "INSERT INTO leads (name, node, alive_ms) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET node = excluded.node, alive_ms = excluded.alive_ms",
        );
        take.bind(name).bind(node).bind(now).execute(&mut tx).await?;
        tx.commit_quietly().await?;
        Ok(Some(before.map_or(i64::MAX, |(_, alive)| now.saturating_sub(alive).max(0))))
    }

    /// Makes a deployment `node`'s, which is alive, in the state that `record` has. None: it moved on, another node has
    /// it, or this node's own lease has run out.
    pub async fn take(&self, record: &Record, node: &str) -> Result<Option<Record>, Error> {
        let mut tx = self.begin(&record.deployment.namespace).await?;
        let now = tx.clock_ms().await?;
        let take = query(
            "deployments.take",
            "UPDATE deployments SET node = $1 WHERE id = $3 AND state = $4
               AND EXISTS (SELECT 1 FROM nodes m WHERE m.id = $1 AND m.lease_until_ms > $2)
               AND (node IS NULL OR node = $1
                 OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = deployments.node AND n.lease_until_ms > $2))",
        );
        let id = &record.deployment.id;
        let take = take.bind(node).bind(now).bind(id).bind(record.deployment.state);
        if take.execute(&mut tx).await? == 0 {
            return Ok(None);
        }
        let taken = Held::load(&mut tx, id).await?.into_record();
        // Nobody waits for it.
        tx.commit_quietly().await?;
        Ok(Some(taken))
    }
}

/// The clock went back, as with another server that takes over, where a lease ends later than any that begins now: it
/// ends as if it began now. So a dead node's does not last until the clock is there again, and a living node has the
/// time to renew its own. Under the lock of [`LEADS`]: of two that change several rows each, none waits for the other.
async fn bound(tx: &mut Tx, now: i64) -> Result<(), Error> {
    let nodes = query("nodes.bound", "UPDATE nodes SET lease_until_ms = $1 WHERE lease_until_ms > $1");
    nodes.bind(now.saturating_add(LEASE_MS)).execute(tx).await?;
    let leads = query("leads.bound", "UPDATE leads SET alive_ms = $1 WHERE alive_ms > $1");
    leads.bind(now).execute(tx).await?;
    Ok(())
}
