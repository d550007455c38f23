//! `/n/<namespace>/usage`: a bar per limit, what was used, what it costs.

use std::collections::BTreeMap;

use micro_api::usage::{Limit, Usage};
use serde_json::{Value, json};

use super::Answer;
use crate::session::Person;

const DAYS: u32 = 30;

pub(crate) async fn show(person: Person) -> Answer {
    let client = &person.client;
    let (limits, usage, billing) = tokio::try_join!(client.limits(), client.usage(DAYS), client.billing())?;
    let rows: Vec<Value> = limits.limits.iter().map(limit).collect();
    let days = by_day(&usage);
    let most = days.iter().map(|(_, requests)| *requests).max().unwrap_or(0).max(1);
    let content = json!({
        "plan": limits.plan,
        "limits": rows,
        "days": days.iter().map(|(day, requests)| json!({
            "day": day, "requests": requests, "height": bar(*requests, most),
        })).collect::<Vec<_>>(),
        "services": by_service(usage),
        "billing": billing,
    });
    person.page("usage", "usage.html", content)
}

fn limit(limit: &Limit) -> Value {
    let share = limit.max.filter(|max| *max > 0).map(|max| {
        let share = i128::from(limit.used.max(0)) * 1_000 / i128::from(max);
        i64::try_from(share.min(1_000)).unwrap_or(1_000)
    });
    let level = match share {
        // Of events the oldest go: as many as are kept is how it is, and stops nobody.
        _ if limit.name == "event_bytes" => "fine",
        Some(1_000..) => "full",
        Some(800..) => "near",
        _ => "fine",
    };
    // How long logs and events are kept, and a rate, are settings of the plan: nothing of them is used up.
    let counted = !matches!(limit.unit.as_str(), "days" | "per second");
    json!({ "limit": limit, "share": share, "level": level, "counted": counted })
}

fn by_day(usage: &[Usage]) -> Vec<(String, i64)> {
    let mut days: BTreeMap<String, i64> = BTreeMap::new();
    for row in usage {
        *days.entry(row.day.clone()).or_default() += row.requests;
    }
    days.into_iter().collect()
}

fn by_service(usage: Vec<Usage>) -> Vec<Usage> {
    let mut services: BTreeMap<String, Usage> = BTreeMap::new();
    for row in usage {
        let sum = services.entry(row.service.clone()).or_default();
        sum.service = row.service;
        sum.requests += row.requests;
        sum.cpu_ms += row.cpu_ms;
        sum.memory_mib_seconds += row.memory_mib_seconds;
        sum.egress_bytes += row.egress_bytes;
        sum.build_seconds += row.build_seconds;
        // Not a flow: the newest day tells how much there is.
        if row.day >= sum.day {
            sum.day = row.day;
            sum.store_bytes = row.store_bytes;
        }
    }
    let mut services: Vec<Usage> = services.into_values().collect();
    services.sort_by_key(|row| std::cmp::Reverse(row.requests));
    services
}

/// Hundredths of the largest; what is there is seen.
fn bar(value: i64, most: i64) -> i64 {
    if value == 0 { 0 } else { (value * 100 / most).max(2) }
}
