//! `/n/<namespace>`: what is broken or near a limit, then the services, newest change first.

use micro_api::deployment::ServiceStatus;
use micro_api::usage::Limit;
use serde_json::json;

use super::{Answer, token};
use crate::form::Filled;
use crate::session::Person;

/// Services on the page; the list has the rest.
const SHOWN: usize = 8;

pub(crate) async fn show(person: Person) -> Answer {
    let (services, limits) = tokio::join!(person.client.services(None, None), person.client.limits());
    let mut services = services?;
    services.sort_by_key(|service| std::cmp::Reverse(service.updated_ms));
    let broken: Vec<&ServiceStatus> = services.iter().filter(|service| is_broken(service)).collect();
    // The page is worth showing without its limits, and says that they are missing.
    let near: Option<Vec<Limit>> =
        limits.ok().map(|limits| limits.limits.into_iter().filter(is_near).collect());
    person.page(
        "home",
        "home.html",
        json!({
            "services": services.iter().take(SHOWN).collect::<Vec<_>>(),
            "total": services.len(),
            "broken": broken,
            "near": near,
            "form": Filled::default(),
            "env_line": token::env_line(&person),
        }),
    )
}

pub(crate) fn is_broken(service: &ServiceStatus) -> bool {
    service.status == "error" || service.metadata.contains_key("error")
}

/// 80 % of what is counted. A limit of days kept, or of a rate, is not used up, and of events the oldest go.
fn is_near(limit: &Limit) -> bool {
    let counted = !matches!(limit.unit.as_str(), "days" | "per second") && limit.name != "event_bytes";
    counted && limit.max.is_some_and(|max| max > 0 && i128::from(limit.used) * 5 >= i128::from(max) * 4)
}
