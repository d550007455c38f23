//! What every request on this address must pass, whoever serves it.
//!
//! A web page that someone has open can send requests to loopback. It cannot choose `Host` or `Origin`, and without a
//! pre-flight, which nobody here answers, it cannot send JSON, archives or protobuf: so a known host, no foreign origin
//! and such a content type for everything that changes something.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use micro_api::Error as Api;

use crate::error::Error;

const ID: &str = "control";

/// Names and origins that are ours.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
}

pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => Error::from(error).into_response(),
    }
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Api> {
        let host = host_of(request)?;
        self.check_host(&host)?;
        self.check_origin(request.headers(), &host)?;
        check_content_type(request.method(), request.headers())
    }

    fn check_host(&self, host: &str) -> Result<(), Api> {
        let name = without_port(host).to_ascii_lowercase();
        if self.hosts.contains(&name) {
            return Ok(());
        }
        Err(Api::new(ID, 421, format!("this address does not serve the host `{name}`")))
    }

    fn check_origin(&self, headers: &HeaderMap, host: &str) -> Result<(), Api> {
        let refused =
            |origin: &str| Err(Api::forbidden(ID, format!("pages of {origin} may not use this address")));
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("an unreadable origin");
            let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            let ours = own.is_some_and(|own| own.eq_ignore_ascii_case(host));
            if !ours && !self.origins.iter().any(|known| known == origin) {
                return refused(origin);
            }
        } else if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return refused("other sites");
        }
        Ok(())
    }
}

/// The authority of the request, from its target (HTTP/2) or its one `Host`.
fn host_of(request: &Request) -> Result<String, Api> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let header = first.and_then(|host| host.to_str().ok());
    match (request.uri().authority(), header, second) {
        (_, _, Some(_)) => Err(Api::bad_request(ID, "more than one Host")),
        (Some(target), None, _) => Ok(target.as_str().to_owned()),
        (Some(target), Some(host), _) if target.as_str().eq_ignore_ascii_case(host) => Ok(host.to_owned()),
        (None, Some(host), _) => Ok(host.to_owned()),
        (Some(_), Some(_), _) => Err(Api::bad_request(ID, "the Host is not the request target's")),
        (None, None, _) => Err(Api::bad_request(ID, "no Host")),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn check_content_type(method: &Method, headers: &HeaderMap) -> Result<(), Api> {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    // DELETE and PUT are never sent across origins without a pre-flight; without a body there is nothing to type.
    let must = match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        Method::DELETE => has_body,
        _ => true,
    };
    if !must {
        return Ok(());
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = matches!(
        essence.as_str(),
        "application/json"
            | "application/gzip"
            | "application/x-gzip"
            | "application/octet-stream"
            | "application/protobuf"
            | "application/x-protobuf"
    ) || essence.starts_with("application/grpc");
    if known {
        return Ok(());
    }
    Err(Api::new(
        ID,
        415,
        "send application/json, application/gzip, application/octet-stream or application/protobuf",
    ))
}

#[cfg(test)]
mod tests;
