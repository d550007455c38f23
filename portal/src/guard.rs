//! What every request passes, and what every answer carries.
//!
//! A page that someone has open elsewhere can send requests here. It cannot choose `Host` or `Origin`: a host that is
//! not ours is refused (DNS rebinding), and so is anything that changes something and comes from another origin. Forms
//! are checked once more by their token (`form`).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::csrf::random_id;
use crate::error::Fault;
use crate::portal::Portal;
use crate::{cookie, redirect};

/// Named on error pages and in the log, so that the two can be brought together.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                   connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(crate) async fn guard(State(portal): State<Arc<Portal>>, mut request: Request, next: Next) -> Response {
    let id = RequestId(random_id());
    let asked = Asked::of(&request, &portal);
    request.extensions_mut().insert(id.clone());
    let mut response = match check(&portal, &request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        response = explain(&portal, &asked, &id, &fault);
    }
    dress(response.headers_mut(), &id);
    response
}

fn check(portal: &Portal, request: &Request) -> Result<(), Fault> {
    let host = host_of(request)?;
    let name = without_port(&host).to_ascii_lowercase();
    if !portal.config.hosts.contains(&name) {
        return Err(Fault::told(421, format!("This address does not serve the host `{name}`.")));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    check_origin(request.headers(), &host)
}

/// What changes something must come from one of our own pages.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Fault> {
    let foreign =
        || Fault::told(403, "The form was sent by a page of another site. Open it here and send it again.");
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(foreign());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| foreign())?;
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let ours = authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    if ours { Ok(()) } else { Err(foreign()) }
}

/// The authority of the request, from its target (HTTP/2) or its one `Host`.
fn host_of(request: &Request) -> Result<String, Fault> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let named = first.and_then(|host| host.to_str().ok());
    match (request.uri().authority(), named, second) {
        (_, _, Some(_)) => Err(Fault::told(400, "The request has more than one Host.")),
        (Some(target), None, None) => Ok(target.as_str().to_owned()),
        (Some(target), Some(host), None) if target.as_str().eq_ignore_ascii_case(host) => Ok(host.to_owned()),
        (None, Some(host), None) => Ok(host.to_owned()),
        _ => Err(Fault::told(400, "The request has no Host, or two that differ.")),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What an error page has to know of the request, which is gone by then.
struct Asked {
    method: Method,
    path: String,
    theme: Option<String>,
    /// A script asked, not a person.
    script: bool,
    secure: bool,
}

impl Asked {
    fn of(request: &Request, portal: &Portal) -> Self {
        let headers = request.headers();
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let script = accept.starts_with("application/json") || accept.starts_with("text/event-stream");
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let theme = cookie::read(headers, cookie::THEME, false);
        Self { method: request.method().clone(), path, theme, script, secure: portal.config.secure }
    }
}

fn explain(portal: &Portal, asked: &Asked, id: &RequestId, fault: &Fault) -> Response {
    let status = fault.status();
    match fault {
        Fault::Unreachable(reason) | Fault::Broken(reason) => {
            tracing::error!(request = id.0, path = asked.path, reason, "a page failed");
        }
        Fault::Told(error) => tracing::debug!(request = id.0, code = error.code, error.detail, "refused"),
        Fault::SignedOut => {}
    }
    if asked.script {
        let error = match fault {
            Fault::Told(error) => error.clone(),
            _ => micro_api::Error::new("portal", status.as_u16(), words(fault).1),
        };
        return (status, axum::Json(error)).into_response();
    }
    if matches!(fault, Fault::SignedOut) {
        return to_login(asked);
    }
    let (title, text) = words(fault);
    let context = json!({
        "title": title, "text": text, "code": status.as_u16(), "ours": status.is_server_error(),
        "request_id": id.0, "theme": asked.theme, "me": null, "path": asked.path,
    });
    match portal.templates.render("error.html", &context) {
        Ok(html) => (status, axum::response::Html(html)).into_response(),
        Err(error) => {
            tracing::error!(request = id.0, %error, "the error page failed");
            (status, format!("{title}\n{text}\nRequest {}", id.0)).into_response()
        }
    }
}

/// Signing in leads back to where a reader was; a form that was sent is lost, so its sender starts at the front.
fn to_login(asked: &Asked) -> Response {
    let back = redirect::own_path(&asked.path).filter(|path| asked.method == Method::GET && *path != "/");
    let target = back.map_or_else(
        || "/login".to_owned(),
        |path| {
            let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
            format!("/login?redirect_to={path}")
        },
    );
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response();
    if let Some(gone) = cookie::remove(cookie::SESSION, asked.secure) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

/// What happened, and what to do.
fn words(fault: &Fault) -> (&'static str, String) {
    match fault {
        Fault::SignedOut => ("Log in first", "The session has ended. Log in again.".to_owned()),
        Fault::Unreachable(_) => (
            "The platform does not answer",
            "This is on our side. Your services and data are not affected by this page. Try again in a minute."
                .to_owned(),
        ),
        Fault::Broken(_) => (
            "This page failed",
            "This is on our side. Try again; if it stays, tell the operator the request id below.".to_owned(),
        ),
        Fault::Told(error) => {
            let title = match error.code {
                400 => "The request is not right",
                403 => "This is not allowed",
                404 => "Not found",
                405 => "This cannot be done here",
                413 => "The form is too large",
                415 => "The form has the wrong type",
                421 => "Unknown host",
                429 => "A limit is reached",
                503 => "Not at the moment",
                500.. => "The platform failed",
                _ => "This did not work",
            };
            (title, error.detail.clone())
        }
    }
}

fn dress(headers: &mut HeaderMap, id: &RequestId) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with it a browser sends `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, id);
    }
}
