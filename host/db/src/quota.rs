//! What the plan of a namespace allows, checked in the transaction that makes something.
//!
//! A write transaction of a namespace excludes the others, so a count stays true until what was counted is added: of
//! any number of tries at the last place one passes.

use micro_api::Namespace;
use serde::{Deserialize, Serialize};

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::query::query;
use crate::services::VersionKey;
use crate::{Db, Error, Refusal, access, audit, calendar, now_ms, submit, usage};

/// Limits that are checked here. `None`: not limited. Control takes them from the namespace's plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Services at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<i64>,
    /// People in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<i64>,
    /// Minutes of builders in a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_minutes: Option<i64>,
}

/// What there may be so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Services,
    Members,
}

impl Counted {
    /// As plans and errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Members => "members",
        }
    }
}

/// What one does about a limit that is reached.
pub(crate) fn way_out(limit: &str) -> &'static str {
    match limit {
        "services" => {
            "stop one that is no longer needed with `micro kill`, or ask the operator for a larger plan"
        }
        "members" => "remove one with `micro members remove`, or ask the operator for a larger plan",
        "blob_bytes" => "delete some blobs, or ask the operator for a larger plan",
        "store_bytes" => "delete records, or ask the operator for a larger plan",
        _ => "wait until then, or ask the operator for a larger plan",
    }
}

/// Refuses one more when there are `max` already. For a transaction that holds the namespace's lock.
///
/// # Errors
/// [`Error::Limit`].
pub(crate) async fn check_count(
    tx: &mut Tx,
    namespace: &str,
    counted: Counted,
    max: Option<i64>,
) -> Result<(), Error> {
    let Some(max) = max else { return Ok(()) };
    let count = match counted {
        Counted::Services => {
            query("quota.services", "SELECT COUNT(DISTINCT service) FROM versions WHERE namespace = $1")
        }
        Counted::Members => query("quota.members", "SELECT COUNT(*) FROM members WHERE namespace = $1"),
    };
    let (count,) = count.bind(namespace).first::<(i64,)>(tx).await?.unwrap_or_default();
    if count < max { Ok(()) } else { Err(Error::Limit { limit: counted.name(), max, resets_ms: None }) }
}

/// As [`check_count`], for a service that may be there already.
pub(crate) async fn check_service(tx: &mut Tx, key: &VersionKey, quotas: &Quotas) -> Result<(), Error> {
    if quotas.services.is_none() {
        return Ok(());
    }
    let known =
        query("quota.known", "SELECT service FROM versions WHERE namespace = $1 AND service = $2 LIMIT 1");
    let known = known.bind(&key.namespace).bind(&key.service).first::<(String,)>(tx).await?;
    if known.is_some() {
        return Ok(());
    }
    check_count(tx, &key.namespace, Counted::Services, quotas.services).await
}

/// Refuses a build when the month's minutes are used.
pub(crate) async fn check_build(tx: &mut Tx, namespace: &str, quotas: &Quotas) -> Result<(), Error> {
    let Some(max) = quotas.build_minutes else { return Ok(()) };
    let month = calendar::month_of(now_ms());
    let used = usage::of_month(tx, namespace, month).await?.build_ms;
    if used < max.saturating_mul(60_000) {
        return Ok(());
    }
    let resets_ms = Some(calendar::month_start_ms(month + 1));
    Err(Error::Limit { limit: "build_minutes", max, resets_ms })
}

/// Refuses what a namespace asks for that the operator has blocked.
pub(crate) async fn check_blocked(tx: &mut Tx, namespace: &str) -> Result<(), Error> {
    let blocked = query("namespaces.is_blocked", "SELECT blocked FROM namespaces WHERE namespace = $1");
    match blocked.bind(namespace).first::<(i64,)>(tx).await? {
        Some((blocked,)) if blocked != 0 => Err(Error::Blocked(namespace.to_owned())),
        _ => Ok(()),
    }
}

impl Db {
    /// The plan of a living namespace; `None`: there is no such row.
    pub async fn namespace_plan(&self, namespace: &Namespace) -> Result<Option<String>, Error> {
        let row = query(
            "namespaces.plan",
            "SELECT plan FROM namespaces WHERE namespace = $1 AND deleted_ms IS NULL",
        );
        Ok(row.bind(namespace).read_first::<(String,)>(self).await?.map(|(plan,)| plan))
    }

    /// Changes the plan of a namespace; every node learns of it.
    ///
    /// # Errors
    /// [`Refusal::NoNamespace`].
    pub async fn set_namespace_plan(
        &self,
        namespace: &Namespace,
        plan: &str,
        reason: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let set = query(
            "namespaces.set_plan",
            "UPDATE namespaces SET plan = $2 WHERE namespace = $1 AND deleted_ms IS NULL",
        );
        if set.bind(namespace).bind(plan).execute(&mut tx).await? == 0 {
            return Err(Refusal::NoNamespace.into());
        }
        access::bump(&mut tx).await?;
        let namespace = namespace.as_str();
        let entry = Entry { actor, namespace, action: "namespace.plan", subject: plan, detail: reason };
        audit::write(&mut tx, entry).await?;
        tx.commit().await
    }

    /// Blocks a namespace or lets it go on; every node learns of it. Its builds end: those that wait, and those in
    /// work, whose builders lose their lease. What compiles a running revision again waits until it may go on.
    ///
    /// # Errors
    /// [`Refusal::NoNamespace`].
    pub async fn set_namespace_blocked(
        &self,
        namespace: &Namespace,
        blocked: bool,
        reason: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let set = query(
            "namespaces.set_blocked",
            "UPDATE namespaces SET blocked = $2 WHERE namespace = $1 AND deleted_ms IS NULL",
        );
        if set.bind(namespace).bind(i64::from(blocked)).execute(&mut tx).await? == 0 {
            return Err(Refusal::NoNamespace.into());
        }
        if blocked {
            let jobs = query(
                "jobs.of_namespace",
                "SELECT deployment FROM jobs WHERE namespace = $1 AND recompile IS NULL ORDER BY created_ms, id",
            );
            for (deployment,) in jobs.bind(namespace).all::<(String,)>(&mut tx).await? {
                submit::stop(&mut tx, &deployment).await?;
            }
        }
        access::bump(&mut tx).await?;
        let namespace = namespace.as_str();
        let action = if blocked { "namespace.block" } else { "namespace.unblock" };
        audit::write(&mut tx, Entry { actor, namespace, action, subject: namespace, detail: reason }).await?;
        tx.commit().await
    }
}
