//! `/n/<namespace>/services`: all services, with search.

use micro_api::deployment::ServiceStatus;
use serde_json::{Value, json};

use super::Answer;
use crate::config::ROWS;
use crate::session::Person;

pub(crate) async fn list(person: Person) -> Answer {
    let services = person.client.services(None, None).await?;
    let query = person.query("q").trim().to_ascii_lowercase();
    let after = person.query("after").to_owned();
    let mut rows = by_name(&services);
    let total = rows.len();
    rows.retain(|versions| matches(versions, &query));
    let found = rows.len();
    let rest: Vec<_> = rows.into_iter().filter(|versions| name(versions) > after.as_str()).collect();
    let more = rest.len() > ROWS;
    let shown: Vec<Value> = rest.iter().take(ROWS).map(|versions| row(versions)).collect();
    let last = rest.iter().take(ROWS).next_back().map(|versions| name(versions)).filter(|_| more);
    person.page(
        "services",
        "services.html",
        json!({ "rows": shown, "q": person.query("q"), "total": total, "found": found, "next": last, "after": after }),
    )
}

/// The versions of each service together, in the order of names.
fn by_name(services: &[ServiceStatus]) -> Vec<Vec<&ServiceStatus>> {
    let mut rows: Vec<Vec<&ServiceStatus>> = Vec::new();
    let mut sorted: Vec<&ServiceStatus> = services.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for service in sorted {
        match rows.last_mut() {
            Some(row) if name(row) == service.name => row.push(service),
            _ => rows.push(vec![service]),
        }
    }
    rows
}

fn name<'a>(versions: &[&'a ServiceStatus]) -> &'a str {
    versions.first().map_or("", |service| service.name.as_str())
}

fn matches(versions: &[&ServiceStatus], query: &str) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains(query);
    query.is_empty()
        || versions.iter().any(|service| {
            says(&service.name) || says(&service.source) || says(&service.version) || says(&service.status)
        })
}

fn row(versions: &[&ServiceStatus]) -> Value {
    let newest = versions.iter().max_by_key(|service| service.updated_ms);
    json!({ "name": name(versions), "versions": versions, "newest": newest })
}
