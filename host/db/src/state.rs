//! The steps a deployment may take, and the one way to take one.
//!
//! ```text
//! Queued → Fetching → Building → Validating → Precompiling → Built → Starting → Running → Stopping → Stopped
//!   ↑____________ a builder died ___________|                 (again) ↺          |            └──→ Superseded
//! ```
//! Builder states only move forward and may skip. Each state before `Running` can fail, be stopped (killed) or be
//! superseded by a newer deployment. A job goes from `Running` to `Stopped` or `Failed` by itself.

use micro_api::deployment::DeploymentState::{self, *};

use crate::Error;
use crate::dialect::Tx;
use crate::query::query;
use crate::row::{DeploymentRow, Record, encode, select_deployment};

/// Whether a deployment in state `from` may become `to`.
pub fn is_legal(from: DeploymentState, to: DeploymentState) -> bool {
    match (from, to) {
        // A builder claims it again after another one died.
        (Queued | Fetching | Building | Validating | Precompiling, Queued) => true,
        (
            Queued | Fetching | Building | Validating | Precompiling,
            Fetching | Building | Validating | Precompiling,
        ) => builder_rank(to) >= builder_rank(from),
        (Queued | Fetching | Building | Validating | Precompiling, Built) => true,
        (Built | Starting, Starting) => true,
        (Starting, Running) => true,
        (
            Queued | Fetching | Building | Validating | Precompiling | Built | Starting,
            Failed | Stopped | Superseded,
        ) => true,
        (Running, Stopping | Stopped | Failed) => true,
        (Stopping, Stopped | Superseded) => true,
        _ => false,
    }
}

/// In the hands of a builder, or waiting for one.
pub fn is_building(state: DeploymentState) -> bool {
    builder_rank(state).is_some()
}

fn builder_rank(state: DeploymentState) -> Option<u8> {
    match state {
        Queued => Some(0),
        Fetching => Some(1),
        Building => Some(2),
        Validating => Some(3),
        Precompiling => Some(4),
        _ => None,
    }
}

/// A deployment read in a transaction that keeps others from changing it. A step consumes it and gives the next one, so
/// a state cannot be used twice.
#[derive(Debug)]
pub(crate) struct Held(Record);

impl Held {
    /// Reads a deployment. The transaction holds its namespace's lock.
    pub(crate) async fn load(tx: &mut Tx, id: &str) -> Result<Self, Error> {
        let row = query("deployments.load", select_deployment!("WHERE d.id = $1")).bind(id);
        let row = row.first::<DeploymentRow>(tx).await?.ok_or(Error::NoDeployment)?;
        Ok(Self(Record::try_from(row)?))
    }

    pub(crate) fn state(&self) -> DeploymentState {
        self.0.deployment.state
    }

    /// Refuses a step to `to` unless it starts from one of `from`: the caller's part of the way.
    pub(crate) fn only_from(self, from: &[DeploymentState], to: DeploymentState) -> Result<Self, Error> {
        if from.contains(&self.state()) {
            return Ok(self);
        }
        Err(Error::Illegal { deployment: self.0.deployment.id.clone(), from: self.state(), to })
    }

    pub(crate) fn record(&self) -> &Record {
        &self.0
    }

    pub(crate) fn into_record(self) -> Record {
        self.0
    }

    /// Moves to `to` with what `change` notes beside it, or refuses.
    pub(crate) async fn step(
        mut self,
        tx: &mut Tx,
        to: DeploymentState,
        change: impl FnOnce(&mut Record),
    ) -> Result<Self, Error> {
        let from = self.state();
        if !is_legal(from, to) {
            return Err(Error::Illegal { deployment: self.0.deployment.id.clone(), from, to });
        }
        change(&mut self.0);
        self.0.deployment.state = to;
        // Those who wait compare this time with the one they saw, so it never stands still.
        self.0.deployment.updated_ms = crate::now_ms().max(self.0.deployment.updated_ms + 1);
        self.save(tx, from).await
    }

    async fn save(self, tx: &mut Tx, from: DeploymentState) -> Result<Self, Error> {
        let Record { deployment, successor, starts, job, log_bytes, started_ms, .. } = &self.0;
        let update = query(
            "deployments.step",
            "UPDATE deployments SET service = $3, version = $4, state = $5, stages = $6, error = $7, commit_id = $8,
               revision = $9, successor = $10, starts = $11, job = $12, log_bytes = $13, started_ms = $14, updated_ms = $15
             WHERE id = $1 AND state = $2",
        )
        .bind(&deployment.id)
        .bind(from)
        .bind(&deployment.service)
        .bind(&deployment.version)
        .bind(deployment.state)
        .bind(encode("stages", &deployment.stages)?)
        .bind(deployment.error.as_ref().map(|error| encode("error", error)).transpose()?)
        .bind(deployment.commit.clone())
        .bind(deployment.revision.clone())
        .bind(successor.clone())
        .bind(*starts)
        .bind(i64::from(*job))
        .bind(*log_bytes)
        .bind(*started_ms)
        .bind(deployment.updated_ms);
        if update.execute(tx).await? == 1 {
            return Ok(self);
        }
        // The lock was not held, or somebody writes without it.
        Err(Error::Illegal { deployment: deployment.id.clone(), from, to: deployment.state })
    }
}

#[cfg(test)]
mod tests;
