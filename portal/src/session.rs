//! Who asks: a visitor, or a person with a session.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use micro_api::auth::Role;
use micro_api::person::Me;
use micro_api::{Namespace, ServiceName};
use micro_client::Client;
use serde_json::{Value, json};

use crate::config::AGENT_MAX;
use crate::csrf::{Tie, random_id};
use crate::error::Fault;
use crate::guard::RequestId;
use crate::portal::Portal;
use crate::{cookie, pages};

/// Anybody with a browser.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) portal: Arc<Portal>,
    /// Speaks for the visitor, without a credential.
    pub(crate) client: Client,
    pub(crate) session: Option<String>,
    headers: HeaderMap,
    /// The value of the visit cookie, and whether the browser has it already.
    visit: (String, bool),
    request_id: String,
    path: String,
    query: Vec<(String, String)>,
    params: Vec<(String, String)>,
}

/// A person whose session the control API knows, in one namespace.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) visit: Visit,
    /// Acts for the person in the namespace.
    pub(crate) client: Client,
    pub(crate) session: String,
    pub(crate) me: Me,
}

impl Visit {
    /// A field of the query; empty when absent.
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A part of the path by its name in the route.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A script asked, which wants the part of the page that changed.
    pub(crate) fn by_script(&self) -> bool {
        self.header(header::ACCEPT).starts_with("application/json")
    }

    /// A page for someone who is not signed in.
    pub(crate) fn page(&self, template: &str, content: Value) -> Result<Response, Fault> {
        self.render(StatusCode::OK, template, content, json!({ "me": null }))
    }

    fn render(
        &self,
        status: StatusCode,
        template: &str,
        content: Value,
        who: Value,
    ) -> Result<Response, Fault> {
        let mut context = self.base();
        for more in [who, content] {
            if let (Value::Object(context), Value::Object(more)) = (&mut context, more) {
                context.extend(more);
            }
        }
        let broken = |error: minijinja::Error| Fault::Broken(format!("{template}: {error:#}"));
        let html = self.portal.templates.render(template, &context).map_err(broken)?;
        let mut response = (status, Html(html)).into_response();
        if !self.visit.1 && self.session.is_none() {
            self.set_cookie(&mut response, cookie::VISIT, &self.visit.0);
        }
        Ok(response)
    }

    fn base(&self) -> Value {
        json!({
            "csrf": self.token(),
            "theme": cookie::read(&self.headers, cookie::THEME, false),
            "path": self.path,
            "request_id": self.request_id,
            "done": pages::done(self.query("done")),
        })
    }

    /// The token of this visitor's forms.
    fn token(&self) -> String {
        let tie = self.session.as_deref().map_or(Tie::Visit(&self.visit.0), Tie::Session);
        self.portal.csrf.token(tie)
    }

    pub(crate) fn set_cookie(&self, response: &mut Response, name: &str, value: &str) {
        if let Some(line) = cookie::set(name, value, self.portal.config.secure) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }

    pub(crate) fn remove_cookie(&self, response: &mut Response, name: &str) {
        if let Some(line) = cookie::remove(name, self.portal.config.secure) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }

    /// A cookie of ours that the browser sent.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        cookie::read(&self.headers, name, self.portal.config.secure)
    }
}

impl Person {
    /// A page with the frame of a signed-in person; `section` is the entry of the rail that it belongs to.
    pub(crate) fn page(&self, section: &str, template: &str, content: Value) -> Result<Response, Fault> {
        self.page_with(StatusCode::OK, section, template, content)
    }

    pub(crate) fn page_with(
        &self,
        status: StatusCode,
        section: &str,
        template: &str,
        content: Value,
    ) -> Result<Response, Fault> {
        let who = json!({
            "me": self.me,
            "namespace": self.me.namespace,
            "section": section,
            "can_write": self.may(Role::Developer),
            "can_own": self.may(Role::Owner),
        });
        let mut response = self.visit.render(status, template, content, who)?;
        if self.visit.cookie(cookie::NAMESPACE).as_deref() != Some(self.me.namespace.as_str()) {
            self.visit.set_cookie(&mut response, cookie::NAMESPACE, &self.me.namespace);
        }
        Ok(response)
    }

    /// A part of a page, for a script that puts it in.
    pub(crate) fn fragment(&self, template: &str, content: Value) -> Result<String, Fault> {
        let broken = |error: minijinja::Error| Fault::Broken(format!("{template}: {error:#}"));
        self.visit.portal.templates.render(template, &content).map_err(broken)
    }

    pub(crate) fn may(&self, role: Role) -> bool {
        self.me.role.is_some_and(|own| own >= role)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.me.namespace
    }

    pub(crate) fn param(&self, name: &str) -> &str {
        self.visit.param(name)
    }

    pub(crate) fn query(&self, name: &str) -> &str {
        self.visit.query(name)
    }

    /// The service that the path names.
    pub(crate) fn service(&self) -> Result<ServiceName, Fault> {
        self.param("name").parse().map_err(|_| Fault::not_found())
    }

    /// A path of the namespace, `/n/<namespace>/<rest>`.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("/n/{}/{rest}", self.me.namespace)
    }
}

impl FromRequestParts<Arc<Portal>> for Visit {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let params =
            RawPathParams::from_request_parts(parts, portal).await.map_err(|_| Fault::not_found())?;
        let params = params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let secure = portal.config.secure;
        let visit = match cookie::read(&parts.headers, cookie::VISIT, secure) {
            Some(known) => (known, true),
            None => (random_id(), false),
        };
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let agent: String = agent.unwrap_or("unknown").chars().take(AGENT_MAX).collect();
        let address = visitor(portal, peer, &parts.headers);
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self {
            client: portal.config.client.for_visitor(&portal.config.secret, address, &agent),
            session: cookie::read(&parts.headers, cookie::SESSION, secure),
            headers: parts.headers.clone(),
            visit,
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            params,
            portal: Arc::clone(portal),
        })
    }
}

impl FromRequestParts<Arc<Portal>> for Person {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let visit = Visit::from_request_parts(parts, portal).await?;
        let session = visit.session.clone().ok_or(Fault::SignedOut)?;
        let client = visit.client.with_credential(&session).ok_or(Fault::SignedOut)?;
        let named = visit.param("namespace");
        let me = if named.is_empty() {
            in_last_namespace(&visit, &client).await?
        } else {
            let named: Namespace = named.parse().map_err(|_| Fault::not_found())?;
            client.in_namespace(&named).me().await?
        };
        let namespace: Result<Namespace, _> = me.namespace.parse();
        let client = namespace.map_or_else(|_| client.clone(), |namespace| client.in_namespace(&namespace));
        Ok(Self { visit, client, session, me })
    }
}

/// Pages that name no namespace act in the one that was shown last, while it is still the person's.
async fn in_last_namespace(visit: &Visit, client: &Client) -> Result<Me, Fault> {
    let last = visit.cookie(cookie::NAMESPACE).and_then(|name| name.parse::<Namespace>().ok());
    let Some(last) = last else { return Ok(client.me().await?) };
    match client.in_namespace(&last).me().await {
        Err(error) if matches!(error.code(), 403 | 404) => Ok(client.me().await?),
        other => Ok(other?),
    }
}

/// The visitor's address: the connection's, or what the proxies that we trust say of it. Every trusted proxy appends
/// the address that it saw, so the last one that is no proxy of ours is the visitor's; what stands before it, anybody
/// may have written.
fn visitor(portal: &Portal, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
    let mut address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let trusted = |address: &IpAddr| portal.config.trusted_proxies.iter().any(|net| net.contains(address));
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let told: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    for text in told.into_iter().rev() {
        if !trusted(&address) {
            break;
        }
        let Ok(before) = text.parse() else { break };
        address = before;
    }
    address
}
