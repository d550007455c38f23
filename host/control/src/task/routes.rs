//! Bringing together what the node routes to and what the rows say is active.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use micro_api::deployment::DeploymentState;
use micro_db::deployments::Record;
use micro_db::reconcile::Active;

use super::lost;
use crate::node::Unservable;
use crate::{ActiveRevision, Control};

/// What another node started and this one could not, it tries again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// What is routed to, by deployment.
type Routed = HashMap<String, ActiveRevision>;

/// What the reconciler knows of a revision, in the node's words. `None` for a row that names none, or a malformed one.
pub(crate) fn revision_of(record: &Record) -> Option<ActiveRevision> {
    let deployment = &record.deployment;
    Some(ActiveRevision {
        namespace: deployment.namespace.parse().ok()?,
        service: deployment.service.parse().ok()?,
        version: deployment.version.clone(),
        revision: deployment.revision.as_ref()?.parse().ok()?,
        deployment: deployment.id.clone(),
        started_ms: record.started_ms,
        updated_ms: deployment.updated_ms,
    })
}

fn active(row: Active) -> Option<ActiveRevision> {
    Some(ActiveRevision {
        namespace: row.namespace.parse().ok()?,
        service: row.service.parse().ok()?,
        version: row.version,
        revision: row.revision.parse().ok()?,
        deployment: row.deployment,
        started_ms: row.started_ms,
        updated_ms: row.updated_ms,
    })
}

impl Control {
    /// Routes exactly what the rows say is active.
    pub(crate) async fn route(&self) -> Result<Vec<Unservable>, micro_db::Error> {
        let mut routed = self.routed.lock().await;
        self.route_locked(&mut routed).await
    }

    /// Looks whether another process changed what serves, and if so routes the same.
    pub(crate) async fn follow_routes(&self) -> Result<(), micro_db::Error> {
        let mut routed = self.routed.lock().await;
        let revision = self.db.routes_revision().await?;
        let mut followed = self.followed.lock().await;
        if followed
            .is_some_and(|(seen, again)| seen == revision && again.is_none_or(|at| Instant::now() < at))
        {
            return Ok(());
        }
        let active = self.db.active().await?.into_iter().filter(|row| !row.job).map(|row| row.deployment);
        let mut again = None;
        let mut unservable = Vec::new();
        if active.collect::<HashSet<_>>() != routed.keys().cloned().collect() {
            unservable = self.route_locked(&mut routed).await?;
            for one in &unservable {
                tracing::warn!(deployment = one.deployment, error = %one.error, "A service of another node is not served here yet");
                again = Some(Instant::now() + AGAIN);
            }
        }
        *followed = Some((revision, again));
        drop((routed, followed));
        lost::judge(self, unservable, false).await
    }

    async fn route_locked(&self, routed: &mut Routed) -> Result<Vec<Unservable>, micro_db::Error> {
        let rows = self.db.active().await?;
        let list: Vec<_> = rows.into_iter().filter(|row| !row.job).filter_map(active).collect();
        let now = list.iter().map(|revision| (revision.deployment.clone(), revision.clone())).collect();
        let before = std::mem::replace(routed, now);
        let departed: Vec<_> =
            before.into_values().filter(|revision| !routed.contains_key(&revision.deployment)).collect();
        let unservable = self.node.publish(list).await;
        if !departed.is_empty() {
            self.departed.lock().extend(departed);
            self.changed();
        }
        for one in &unservable {
            routed.remove(&one.deployment);
        }
        Ok(unservable)
    }

    /// Routes to `revision` in place of what its version had, then notes that it runs: a client that reads `running`
    /// can call it. `public` is what its manifest says. When the rows refuse (it was killed or superseded meanwhile) the routes go back.
    pub(crate) async fn switch(
        &self,
        record: &Record,
        revision: &ActiveRevision,
        public: bool,
    ) -> Result<(), SwitchError> {
        let mut routed = self.routed.lock().await;
        // What was superseded while it warmed must not take its successor's place, not even for a moment.
        let now = self.db.deployment_by_id(&revision.deployment).await.map_err(SwitchError::Db)?;
        let from = now
            .map(|record| record.deployment.state)
            .ok_or(SwitchError::Db(micro_db::Error::NoDeployment))?;
        if from != DeploymentState::Starting {
            let deployment = revision.deployment.clone();
            let refused = micro_db::Error::Illegal { deployment, from, to: DeploymentState::Running };
            return Err(SwitchError::Db(refused));
        }
        let service = revision.service.to_string();
        let follow = self.db.follow_public(&revision.namespace, &service, public).await;
        follow.map_err(SwitchError::Db)?;
        self.follow_access().await.map_err(SwitchError::Db)?;
        let rows = self.db.active().await.map_err(SwitchError::Db)?;
        let same = |other: &ActiveRevision| {
            (&other.namespace, &other.service, &other.version)
                == (&revision.namespace, &revision.service, &revision.version)
        };
        let mut list: Vec<_> = rows.into_iter().filter(|row| !row.job).filter_map(active).collect();
        list.retain(|other| !same(other));
        list.push(revision.clone());
        let unservable = self.node.publish(list).await;
        if let Some(one) = unservable.into_iter().find(|one| one.deployment == revision.deployment) {
            self.route_locked(&mut routed).await.map_err(SwitchError::Db)?;
            return Err(SwitchError::Unservable(one.error));
        }
        if let Err(error) = self.db.running(record, false).await {
            self.route_locked(&mut routed).await.map_err(SwitchError::Db)?;
            return Err(SwitchError::Db(error));
        }
        routed.insert(revision.deployment.clone(), revision.clone());
        Ok(())
    }
}

/// Why a revision was not switched to.
pub(crate) enum SwitchError {
    /// The node cannot serve it.
    Unservable(micro_api::Error),
    /// The rows refused or failed.
    Db(micro_db::Error),
}
