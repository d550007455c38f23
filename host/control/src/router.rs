//! All routes, on one page. The OpenAPI file is made from this table, so neither can say what the other doesn't.

mod blobs;
mod config;
mod events;
mod people;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use micro_api::auth::{Account, Inspect, NewAccount, Rule, Token, TokenRequest};
use micro_api::deployment::{Deployment, RunRequest, ServiceStatus, Upload};
use micro_api::logs::LogRecord;
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::usage::{Billing, Limits, Usage};
use micro_api::{broker, jobs, person, registry, routes, store};

use crate::Control;
use crate::api::{
    accounts, auth, billing, broker as broker_api, deployments, documents, jobs as jobs_api, keys, limits,
    registry as registry_api, rules, services, sessions, store as store_api, uploads, usage,
};
use crate::error::Error;
use crate::guard::{Guard, guard};
use crate::openapi::Endpoint;

/// Every endpoint of `/v1/`.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let one = |tail: &str| format!("{}/{{name}}{tail}", routes::SERVICES);
    let table = |tail: &str| format!("{}/{{table}}/{tail}", routes::STORE);
    vec![
        Endpoint::get(routes::VERSION, "Version of the platform", get(documents::version))
            .answers::<documents::Version>(200),
        Endpoint::get(routes::LIMITS, "What the namespace may use, and uses", get(limits::handler))
            .answers::<Limits>(200),
        Endpoint::get(routes::USAGE, "What services used, by day", get(usage::handler))
            .takes::<usage::Span>()
            .answers::<Vec<Usage>>(200),
        Endpoint::get(
            routes::BILLING,
            "What was charged, and what the month costs so far",
            get(billing::handler),
        )
        .answers::<Billing>(200),
        Endpoint::get(routes::OPENAPI, "This description", get(documents::openapi))
            .answers::<serde_json::Value>(200),
        Endpoint::get(routes::SERVICES, "What runs, and what should", get(services::list::handler))
            .takes::<services::list::Filter>()
            .answers::<Vec<ServiceStatus>>(200),
        Endpoint::post(routes::SERVICES, "Run a source", post(services::run::handler))
            .reads::<RunRequest>()
            .answers::<Deployment>(202),
        Endpoint::put(routes::SERVICES, "Update what runs", put(services::update::handler))
            .reads::<RunRequest>()
            .answers::<Deployment>(202),
        Endpoint::delete(&one(""), "Stop a version", delete(services::kill::handler))
            .takes::<services::kill::Which>()
            .answers::<Deployment>(200),
        Endpoint::get(&one("/logs"), "Lines of a service's log", get(services::logs::handler))
            .takes::<services::logs::Which>()
            .streams::<LogRecord>(),
        Endpoint::get(&one("/health"), "Health of a service's nodes", get(services::health::handler))
            .answers::<Vec<NodeHealth>>(200),
        Endpoint::get(&one("/stats"), "Statistics of a service's nodes", get(services::stats::handler))
            .answers::<Vec<NodeStats>>(200),
        Endpoint::get(
            &format!("{}/{{id}}", routes::DEPLOYMENTS),
            "A deployment",
            get(deployments::get::handler),
        )
        .takes::<deployments::get::Wait>()
        .answers::<Deployment>(200),
        Endpoint::post(routes::UPLOADS, "Send a source as tar.gz", post(uploads::create::handler))
            .reads_gzip()
            .answers::<Upload>(201),
        Endpoint::get(routes::REGISTRY, "Names that can be looked up", get(registry_api::list::handler))
            .answers::<Vec<String>>(200),
        Endpoint::get(
            &format!("{}/{{name}}", routes::REGISTRY),
            "A service's records",
            get(registry_api::get::handler),
        )
        .answers::<Vec<registry::Service>>(200),
        Endpoint::get(
            routes::REGISTRY_WATCH,
            "All that can be looked up, then what changes",
            get(registry_api::watch::handler),
        )
        .takes::<registry_api::watch::Which>()
        .streams::<registry::Change>(),
        Endpoint::post(
            routes::REGISTRY,
            "Make a service that runs elsewhere known",
            post(registry_api::register::handler),
        )
        .reads::<registry::Registration>()
        .answers_nothing(),
        Endpoint::post(
            routes::DEREGISTER,
            "Forget a service that runs elsewhere",
            post(registry_api::deregister::handler),
        )
        .reads::<registry::Deregistration>()
        .answers_nothing(),
        Endpoint::get(&format!("{}/databases", routes::STORE), "Databases", get(store_api::names::databases))
            .answers::<Vec<String>>(200),
        Endpoint::get(&format!("{}/tables", routes::STORE), "Tables", get(store_api::names::tables))
            .answers::<Vec<String>>(200),
        Endpoint::post(&table("read"), "Read records", post(store_api::read::handler))
            .reads::<store::Query>()
            .answers::<Vec<store::Record>>(200),
        Endpoint::post(&table("list"), "List keys", post(store_api::list::handler))
            .reads::<store::Query>()
            .answers::<Vec<String>>(200),
        Endpoint::post(&table("write"), "Write a record", post(store_api::write::handler))
            .reads::<store::Write>()
            .answers_nothing(),
        Endpoint::post(&table("delete"), "Delete a record", post(store_api::delete::handler))
            .reads::<store_api::delete::Delete>()
            .answers_nothing(),
        Endpoint::post(&table("export"), "A page of a table", post(store_api::export::handler))
            .reads::<store::Export>()
            .answers::<store::Page>(200),
        Endpoint::post(&table("import"), "Write a batch of records", post(store_api::import::handler))
            .reads::<store::Import>()
            .answers::<store::Imported>(200),
    ]
    .into_iter()
    .chain(messages())
    .chain(schedules())
    .chain(identity())
    .chain(blobs::endpoints())
    .chain(config::endpoints())
    .chain(events::endpoints())
    .chain(people::endpoints())
    .collect()
}

/// Messages between services.
fn messages() -> Vec<Endpoint> {
    let broker = |tail: &str| format!("{}/{tail}", routes::BROKER);
    vec![
        Endpoint::post(&broker("publish"), "Publish a message", post(broker_api::publish::handler))
            .reads::<broker::Publish>()
            .answers_nothing(),
        Endpoint::get(&broker("groups"), "Who subscribed, and what waits", get(broker_api::groups::handler))
            .answers::<Vec<broker::Group>>(200),
        Endpoint::delete(&broker("groups"), "Forget a group", delete(broker_api::groups::forget))
            .takes::<broker_api::groups::Which>()
            .answers_nothing(),
        Endpoint::get(&broker("dead"), "Messages that were given up", get(broker_api::dead::list))
            .takes::<broker_api::dead::Which>()
            .answers::<Vec<broker::Dead>>(200),
        Endpoint::post(&broker("redrive"), "Deliver them anew", post(broker_api::dead::redrive))
            .reads::<broker::Filter>()
            .answers::<broker::Moved>(200),
        Endpoint::post(&broker("discard"), "Delete them", post(broker_api::dead::discard))
            .reads::<broker::Filter>()
            .answers::<broker::Moved>(200),
    ]
}

/// Schedules and their runs.
fn schedules() -> Vec<Endpoint> {
    let runs = format!("{}/runs", routes::JOBS);
    vec![
        Endpoint::get(routes::JOBS, "Schedules, and when they are due", get(jobs_api::list::handler))
            .takes::<jobs_api::list::Filter>()
            .answers::<Vec<jobs::Schedule>>(200),
        Endpoint::post(&format!("{}/run", routes::JOBS), "Run a schedule now", post(jobs_api::run::handler))
            .reads::<jobs::Start>()
            .answers::<jobs::Run>(202),
        Endpoint::get(&runs, "What became of runs", get(jobs_api::runs::handler))
            .takes::<jobs_api::runs::Filter>()
            .answers::<Vec<jobs::Run>>(200),
    ]
}

/// Who one is, and what proves it.
fn identity() -> Vec<Endpoint> {
    let by_id = |path: &str| format!("{path}/{{id}}");
    vec![
        Endpoint::post(routes::SESSIONS, "Sign in", post(sessions::open::handler))
            .reads::<person::Login>()
            .answers::<person::SessionOpened>(201),
        Endpoint::get(routes::SESSIONS, "Where I am signed in", get(sessions::list::handler))
            .answers::<Vec<person::Session>>(200),
        Endpoint::delete(&by_id(routes::SESSIONS), "Sign out", delete(sessions::end::handler))
            .answers_nothing(),
        Endpoint::post(routes::TOKEN, "Tokens by a secret or a refresh token", post(auth::token::handler))
            .reads::<TokenRequest>()
            .answers::<Token>(200),
        Endpoint::post(routes::INSPECT, "Whose token it is", post(auth::inspect::handler))
            .reads::<Inspect>()
            .answers::<Account>(200),
        Endpoint::get(routes::JWKS, "Public keys of access tokens", get(auth::jwks::handler))
            .answers::<serde_json::Value>(200),
        Endpoint::get(routes::KEYS, "API keys", get(keys::list::handler)).answers::<Vec<person::Key>>(200),
        Endpoint::post(routes::KEYS, "Make an API key", post(keys::create::handler))
            .reads::<person::NewKey>()
            .answers::<person::NewKeyMade>(201),
        Endpoint::delete(&by_id(routes::KEYS), "End an API key", delete(keys::revoke::handler))
            .answers_nothing(),
        Endpoint::get(routes::ACCOUNTS, "Accounts of the namespace", get(accounts::list::handler))
            .answers::<Vec<Account>>(200),
        Endpoint::post(routes::ACCOUNTS, "Make an account", post(accounts::create::handler))
            .reads::<NewAccount>()
            .answers::<Account>(201),
        Endpoint::delete(&by_id(routes::ACCOUNTS), "Remove an account", delete(accounts::delete::handler))
            .answers_nothing(),
        Endpoint::get(routes::RULES, "Who may call what", get(rules::list::handler))
            .answers::<Vec<Rule>>(200),
        Endpoint::post(routes::RULES, "Make a rule", post(rules::create::handler))
            .reads::<Rule>()
            .answers_nothing(),
        Endpoint::delete(&by_id(routes::RULES), "Remove a rule", delete(rules::delete::handler))
            .answers_nothing(),
    ]
}

/// Those about people and teams.
#[cfg(test)]
pub(crate) fn people_endpoints() -> Vec<Endpoint> {
    people::endpoints()
}

/// The API with `beside`, guarded.
pub(crate) fn router(control: &Arc<Control>, beside: Router) -> Router {
    let mut router: Router<Arc<Control>> = Router::new();
    for Endpoint { path, handler, .. } in endpoints() {
        router = router.route(&path, handler);
    }
    let rules = Guard { hosts: control.config.hosts.clone(), origins: control.config.origins.clone() };
    router
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(control))
        .merge(beside)
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::new(rules), guard))
}

/// A handler as the table holds it.
pub(crate) type Handler = MethodRouter<Arc<Control>>;

async fn no_route(uri: Uri) -> Error {
    micro_api::Error::not_found("control", format!("no route {}", uri.path())).into()
}

async fn wrong_method(method: Method, uri: Uri) -> Error {
    let code = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    micro_api::Error::new("control", code, format!("{} does not take {method}", uri.path())).into()
}
