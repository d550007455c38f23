//! What control knows of namespaces, in the gateway's words.

use std::collections::HashMap;
use std::sync::Arc;

use micro_api::Namespace;
use micro_auth::RuleSet;
use micro_control::Plans;
use micro_gateway::Tenant;

/// So many seconds' worth of requests may come at once after a pause.
const BURST_SECONDS: u32 = 2;

/// Rules, rates and blocks by namespace.
pub(crate) fn of_gateway(
    tenants: HashMap<Namespace, micro_db::Tenant>,
    plans: &Plans,
) -> HashMap<Namespace, Arc<Tenant>> {
    tenants
        .into_iter()
        .map(|(namespace, tenant)| {
            let plan = plans.of_namespace(&namespace, Some(&tenant.plan));
            let rate = plan.limits.requests_per_second;
            let rate = rate.map(|rate| u32::try_from(rate.max(0)).unwrap_or(u32::MAX));
            let known = Tenant {
                requests_per_second: rate,
                burst: rate.unwrap_or(0).saturating_mul(BURST_SECONDS),
                blocked: tenant.blocked.then(|| "by the operator, or deleted".to_owned()),
                ..Tenant::new(RuleSet::new(tenant.rules))
            };
            (namespace, Arc::new(known))
        })
        .collect()
}
