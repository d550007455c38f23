//! All routes, on one page. The OpenAPI file is made from this table, so neither can say what the other doesn't.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use micro_api::deployment::{Deployment, RunRequest, ServiceStatus, Upload};
use micro_api::logs::LogRecord;
use micro_api::stats::{NodeHealth, NodeStats};
use micro_api::{registry, routes, store};

use crate::Control;
use crate::api::{deployments, documents, registry as registry_api, services, store as store_api, uploads};
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
    ]
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
