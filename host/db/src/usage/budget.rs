//! Budgets of a month, leased to nodes in slices.
//!
//! What is free of a budget is its maximum, less what was used, less what living nodes hold. A node holds its lease a
//! short time and renews it while it is used; what a dead node held is free again when its lease has run out. So a month
//! is overdrawn by no more than what nodes spend on credit, a slice each, and nothing is lost for good.

use std::collections::HashMap;

use serde_json::json;

use crate::Error;
use crate::calendar::month_of;
use crate::dialect::{Tx, over_list};
use crate::row::encode;
use crate::usage::Batch;

/// What has a budget of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Budget {
    /// In requests.
    Requests,
    /// In milliseconds.
    Cpu,
    /// In bytes.
    Egress,
}

impl Budget {
    pub const ALL: [Self; 3] = [Self::Requests, Self::Cpu, Self::Egress];

    /// As plans and errors name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests_per_month",
            Self::Cpu => "cpu_seconds",
            Self::Egress => "egress_bytes",
        }
    }
}

/// A node asks for a share of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub namespace: String,
    pub budget: Budget,
    /// The whole of the month.
    pub max: i64,
    /// What the node has left of what it was given, or less than 0 when it spent more.
    pub held: i64,
    /// What it would like to have. 0 gives back what is held, or only asks how things stand.
    pub want: i64,
}

/// The answer to a [`Wish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub namespace: String,
    pub budget: Budget,
    /// As it was wished for.
    pub max: i64,
    /// Added to what the node held; less than 0 when it has to give some back.
    pub granted: i64,
    /// What is free beside it: nobody holds it and it is not used.
    pub free: i64,
    /// Used in this month, by what was counted.
    pub used: i64,
}

/// What is used, and what others hold.
#[derive(Debug, Default)]
struct Known {
    used: HashMap<String, [i64; 3]>,
    others: HashMap<(String, String), i64>,
}

/// Grants what is free. Runs in the flush's transaction, which excludes all other flushes.
pub(crate) async fn grant(tx: &mut Tx, batch: &Batch) -> Result<Vec<Grant>, Error> {
    if batch.wishes.is_empty() {
        return Ok(Vec::new());
    }
    let month = month_of(batch.now_ms);
    let known = known(tx, batch, month).await?;
    let mut grants = Vec::with_capacity(batch.wishes.len());
    let mut rows = Vec::with_capacity(batch.wishes.len());
    for wish in &batch.wishes {
        let used = known.used.get(&wish.namespace).map_or(0, |used| match wish.budget {
            Budget::Requests => used[0],
            Budget::Cpu => used[1],
            Budget::Egress => used[2],
        });
        let key = (wish.namespace.clone(), wish.budget.name().to_owned());
        let others = known.others.get(&key).copied().unwrap_or(0);
        let all = wish.max.saturating_sub(used).saturating_sub(others);
        // A debt was counted already where it was used.
        let holds = wish.want.min(all).max(0);
        let granted = holds - wish.held;
        // Whoever only asks how things stand leaves no row.
        if wish.want > 0 || wish.held != 0 {
            rows.push(json!([wish.namespace, wish.budget.name(), holds]));
        }
        grants.push(Grant {
            namespace: wish.namespace.clone(),
            budget: wish.budget,
            max: wish.max,
            granted,
            free: (all - holds).max(0),
            used,
        });
    }
    if rows.is_empty() {
        return Ok(grants);
    }
    over_list!(
        tx,
        "budget_leases.hold",
        "INSERT INTO budget_leases (namespace, name, node, boot, month, left_over, until_ms)
         SELECT t.value ->> 0, t.value ->> 1, $2, $3, $4, CAST(t.value ->> 2 AS BIGINT), $5",
        "WHERE true ON CONFLICT (namespace, name, node, boot) DO UPDATE SET
           month = excluded.month, left_over = excluded.left_over, until_ms = excluded.until_ms"
    )
    .bind(encode("leases", &rows)?)
    .bind(&batch.node)
    .bind(&batch.boot)
    .bind(month)
    .bind(batch.now_ms.saturating_add(batch.lease_ms))
    .execute(tx)
    .await?;
    Ok(grants)
}

async fn known(tx: &mut Tx, batch: &Batch, month: i64) -> Result<Known, Error> {
    let mut names: Vec<&str> = batch.wishes.iter().map(|wish| wish.namespace.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let names = encode("namespaces", &names.iter().map(|name| [name]).collect::<Vec<_>>())?;
    let mut known = Known::default();
    let used = over_list!(
        tx,
        "usage_months.of_many",
        "SELECT m.namespace, m.requests, m.cpu_ms, m.egress_bytes",
        "JOIN usage_months m ON m.namespace = t.value ->> 0 AND m.month = $2"
    );
    let used = used.bind(&names).bind(month);
    for (namespace, requests, cpu_ms, egress) in used.all::<(String, i64, i64, i64)>(tx).await? {
        known.used.insert(namespace, [requests, cpu_ms, egress]);
    }
    let others = over_list!(
        tx,
        "budget_leases.of_others",
        "SELECT l.namespace, l.name, CAST(SUM(l.left_over) AS BIGINT)",
        "JOIN budget_leases l ON l.namespace = t.value ->> 0
         WHERE l.month = $2 AND l.until_ms > $3 AND NOT (l.node = $4 AND l.boot = $5)
         GROUP BY l.namespace, l.name"
    );
    let others = others.bind(&names).bind(month).bind(batch.now_ms).bind(&batch.node).bind(&batch.boot);
    for (namespace, name, held) in others.all::<(String, String, i64)>(tx).await? {
        known.others.insert((namespace, name), held);
    }
    Ok(known)
}
