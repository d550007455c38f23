//! From a place, a method and a path to the service that answers, by Micro's order: declared routes, then api, then
//! service, then web.

use std::sync::Arc;

use micro_api::{Error, Namespace};

use crate::handler::api;
use crate::place::{GATEWAY, Place};
use crate::route::{Params, clean, proxy_route, rpc_route};
use crate::snapshot::{Entry, Snapshot};

/// Who answers, and by which handler.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) entry: Arc<Entry>,
    pub(crate) handler: Handler,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Handler {
    /// The whole request as one message.
    Api { endpoint: String },
    /// Body, query and path fields as the endpoint's message.
    Rpc { endpoint: String, fields: Fields },
    /// The request itself.
    Http,
}

/// What a declared route says of the message's fields.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fields {
    /// Captured by the path.
    pub(crate) params: Params,
    /// The field that the body is; none: the body is the message.
    pub(crate) body: Option<String>,
}

/// Finds who answers. The endpoint may be none of the service's: whoever may not call the service is not to learn which
/// ones it has.
///
/// # Errors
/// 404 that suggests the nearest service that the caller `sees`.
pub(crate) fn resolve(
    snapshot: &Snapshot,
    place: &Place,
    method: &str,
    host: &str,
    path: &str,
    sees: &dyn Fn(&str) -> bool,
) -> Result<Matched, Error> {
    match place {
        Place::Namespace(namespace) => by_path(snapshot, namespace, method, host, path, sees),
        Place::Origin(namespace, service) => {
            let alias = service.alias();
            let mut found = snapshot.by_alias(namespace, alias).peekable();
            if found.peek().is_none() {
                return Err(snapshot.not_found(GATEWAY, namespace, alias, sees));
            }
            match found.find(|entry| entry.http().is_some()) {
                Some(entry) => Ok(Matched { entry: Arc::clone(entry), handler: Handler::Http }),
                // Cleaned first: `..` must not lead to a neighbour on this service's origin.
                None => {
                    let path = format!("/{alias}{}", clean(path));
                    by_path(snapshot, namespace, method, host, &path, sees)
                }
            }
        }
    }
}

fn by_path(
    snapshot: &Snapshot,
    namespace: &Namespace,
    method: &str,
    host: &str,
    path: &str,
    sees: &dyn Fn(&str) -> bool,
) -> Result<Matched, Error> {
    if let Some(matched) = by_declared_route(snapshot, namespace, method, host, path) {
        return Ok(matched);
    }
    let rpc = rpc_route(path);
    let proxy = proxy_route(path);
    let rpc_alias = rpc.as_ref().map(|(alias, _)| alias.as_str());
    let aliases = [rpc_alias, proxy.as_deref().filter(|alias| rpc_alias != Some(*alias))];
    let mut named: Option<&Arc<Entry>> = None;
    // Two aliases at most, in the order of types: an api service hides a web page of the same name.
    let mut candidates: Vec<&Arc<Entry>> = Vec::with_capacity(4);
    for alias in aliases.into_iter().flatten() {
        candidates.extend(snapshot.by_alias(namespace, alias));
    }
    candidates.sort_by_key(|entry| order(entry));
    candidates.dedup_by(|a, b| Arc::ptr_eq(a, b));
    for entry in candidates {
        let alias = entry.key.name.alias();
        if let Some((rpc_alias, endpoint)) = &rpc
            && rpc_alias == alias
        {
            named = Some(entry);
            if entry.has_endpoint(endpoint) {
                return Ok(rpc_match(entry, endpoint, None, Fields::default()));
            }
        }
        if proxy.as_deref() == Some(alias) && entry.http().is_some() {
            return Ok(Matched { entry: Arc::clone(entry), handler: Handler::Http });
        }
    }
    match (named, rpc) {
        (Some(entry), Some((_, endpoint))) => Ok(rpc_match(entry, &endpoint, None, Fields::default())),
        (_, Some((alias, _))) => Err(snapshot.not_found(GATEWAY, namespace, &alias, sees)),
        (_, None) => Err(Error::not_found(GATEWAY, "service not found")),
    }
}

fn order(entry: &Entry) -> usize {
    use micro_api::ServiceType::{Api, Function, Service, Web};
    [Api, Service, Web, Function].iter().position(|kind| *kind == entry.key.name.kind).unwrap_or_default()
}

fn by_declared_route(
    snapshot: &Snapshot,
    namespace: &Namespace,
    method: &str,
    host: &str,
    path: &str,
) -> Option<Matched> {
    for entry in snapshot.routed(namespace) {
        for route in entry.routes() {
            let Some(params) = route.matches(method, host, path) else { continue };
            if route.handler.as_deref() == Some("http") {
                return Some(Matched { entry: Arc::clone(entry), handler: Handler::Http });
            }
            let fields = Fields { params, body: route.body.clone() };
            return Some(rpc_match(entry, &route.endpoint, route.handler.as_deref(), fields));
        }
    }
    None
}

/// An endpoint whose request is `go.api.Request` is one of handler `api`, whatever else was said.
fn rpc_match(entry: &Arc<Entry>, endpoint: &str, handler: Option<&str>, fields: Fields) -> Matched {
    let takes_requests = || {
        let schema = entry.schema().ok().flatten();
        let input = schema.as_ref().and_then(|schema| schema.method(endpoint)).map(|method| method.input());
        input.is_some_and(|input| input.full_name() == api::REQUEST_MESSAGE)
    };
    let endpoint = endpoint.to_owned();
    let handler = if handler == Some("api") || takes_requests() {
        Handler::Api { endpoint }
    } else {
        Handler::Rpc { endpoint, fields }
    };
    Matched { entry: Arc::clone(entry), handler }
}
