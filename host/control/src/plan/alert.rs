//! Who has used 80 or 100 per cent of a limit is told, once a month each.

use micro_api::Namespace;
use micro_api::auth::Role;
use micro_db::usage::{Alert, Level, Standing};

use super::{Plan, SHOWN};
use crate::Control;
use crate::mail::parse_address;

/// Per cent at which somebody is told.
const LEVELS: [i64; 2] = [80, 100];
/// When an alert that was taken up and not told comes again.
const RETRY_MS: i64 = 10 * 60 * 1_000;

/// Limits of which so much is used, in the plan's units.
pub(crate) fn levels(plan: &Plan, standing: &Standing, month: i64) -> Vec<Level> {
    let limits = &plan.limits;
    let all = [
        ("requests_per_month", standing.requests, limits.requests_per_month),
        ("cpu_seconds", standing.cpu_ms / 1_000, limits.cpu_seconds),
        ("egress_bytes", standing.egress_bytes, limits.egress_bytes),
        ("build_minutes", standing.build_ms / 60_000, limits.build_minutes),
        ("store_bytes", standing.store_bytes, limits.store_bytes),
    ];
    let mut reached = Vec::new();
    for (name, used, max) in all {
        let Some(max) = max.filter(|max| *max > 0) else { continue };
        for level in LEVELS {
            if i128::from(used) * 100 >= i128::from(max) * i128::from(level) {
                let namespace = standing.namespace.clone();
                reached.push(Level { namespace, month, name, level, used, max });
            }
        }
    }
    reached
}

/// Looks at the namespaces that used something in `month` since `since_ms`. Returns the time up to which all were
/// looked at.
pub(crate) async fn look(control: &Control, month: i64, since_ms: i64) -> Result<i64, micro_db::Error> {
    let standings = control.db.standings(month, since_ms).await?;
    let until = standings.last().map_or(since_ms, |last| last.updated_ms);
    let mut reached = Vec::new();
    for standing in &standings {
        let Ok(namespace) = standing.namespace.parse() else { continue };
        let plan = control.config.plans.of_namespace(&namespace, Some(&standing.plan));
        reached.extend(levels(plan, standing, month));
    }
    for Level { namespace, name, level, used, max, .. } in control.db.raise_alerts(reached).await? {
        tracing::warn!(
            namespace,
            limit = name,
            level,
            used,
            max,
            "A namespace has used {level} % of a limit"
        );
    }
    Ok(until)
}

/// Writes to the owners of namespaces that have used so much.
pub(crate) async fn tell(control: &Control) -> Result<(), micro_db::Error> {
    for alert in control.db.due_alerts(RETRY_MS).await? {
        let Ok(namespace) = alert.namespace.parse::<Namespace>() else { continue };
        let owners =
            control.db.members(&namespace).await?.into_iter().filter(|member| member.role == Role::Owner);
        let told = owners.map(|owner| owner.email).all(|email| mail(control, &email, &alert));
        // Whoever was told hears it once more, which is better than somebody who was not.
        if told {
            control.db.alert_told(&alert).await?;
        }
    }
    Ok(())
}

/// False: the mails that wait are too many, so it is tried again.
fn mail(control: &Control, email: &str, alert: &Alert) -> bool {
    // An account that never had an address, such as the operator's, reads it in the log.
    let Ok(to) = parse_address("usage", email) else { return true };
    let at_end = SHOWN.iter().find(|shown| shown.name == alert.name).map_or("", |shown| shown.at_end);
    let texts = control.texts();
    control.post(texts.quota_alert(to, &alert.namespace, &alert.name, alert.level, at_end)).is_ok()
}
