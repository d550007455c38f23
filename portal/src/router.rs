//! All routes on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::config::{BODY_BYTES_MAX, Config};
use crate::error::{Fault, SetupError};
use crate::guard::guard;
use crate::pages::*;
use crate::portal::Portal;

/// Everything that the portal serves.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that the limits of the control API count
/// for the visitor's address. The error is a mistake in a template, which a test finds.
pub fn router(config: Config) -> Result<Router, SetupError> {
    let portal = Arc::new(Portal::new(config)?);
    let routes = visitors().merge(services()).merge(team()).merge(settings()).merge(operators());
    Ok(routes
        .fallback(async || Fault::not_found())
        .method_not_allowed_fallback(async || Fault::told(405, "This page takes no such request."))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&portal), guard))
        .with_state(portal))
}

fn visitors() -> Router<Arc<Portal>> {
    Router::new()
        .route("/", get(front::start))
        .route("/healthz", get(front::healthz))
        .route("/assets/{file}", get(front::asset))
        .route("/favicon.ico", get(front::icon))
        .route("/services", get(front::services))
        .route("/login", get(login::show))
        .route("/login", post(login::send))
        .route("/login/oidc", post(oidc::start))
        .route("/login/oidc/callback", get(oidc::callback))
        .route("/login/oidc/factor", post(oidc::factor))
        .route("/logout", post(login::logout))
        .route("/signup", get(signup::show))
        .route("/signup/code", post(signup::send_code))
        .route("/signup", post(signup::send))
        .route("/reset", get(reset::show))
        .route("/reset/code", post(reset::send_code))
        .route("/reset", post(reset::send))
        .route("/invitation/{code}", get(invitation::show))
        .route("/invitation/{code}", post(invitation::accept))
        .route("/device", get(device::show))
        .route("/device", post(device::approve))
}

fn services() -> Router<Arc<Portal>> {
    Router::new()
        .route("/n/{namespace}", get(overview::show))
        .route("/n/{namespace}/", get(overview::show))
        .route("/n/{namespace}/services", get(services::list))
        .route("/n/{namespace}/new", get(new::show))
        .route("/n/{namespace}/new", post(new::send))
        .route("/n/{namespace}/services/{name}", get(service::endpoints))
        .route("/n/{namespace}/services/{name}/endpoints", get(service::endpoints))
        .route("/n/{namespace}/services/{name}/call", post(call::send))
        .route("/n/{namespace}/services/{name}/logs", get(logs::show))
        .route("/n/{namespace}/services/{name}/logs/live", get(logs::live))
        .route("/n/{namespace}/services/{name}/stats", get(service::stats))
        .route("/n/{namespace}/services/{name}/instances", get(service::instances))
        .route("/n/{namespace}/services/{name}/deployments", get(service::deployments))
        .route("/n/{namespace}/services/{name}/kill", post(service::kill))
        .route("/n/{namespace}/deployments/{id}", get(deployment::show))
        .route("/n/{namespace}/deployments/{id}/live", get(deployment::live))
        .route("/n/{namespace}/deployments/{id}/again", post(deployment::again))
        .route("/n/{namespace}/usage", get(usage::show))
}

fn team() -> Router<Arc<Portal>> {
    Router::new()
        .route("/n/{namespace}/members", get(members::show))
        .route("/n/{namespace}/members/{id}/role", post(members::change_role))
        .route("/n/{namespace}/members/{id}/remove", post(members::remove))
        .route("/n/{namespace}/invitations", post(members::invite))
        .route("/n/{namespace}/invitations/{id}/withdraw", post(members::withdraw))
        .route("/n/{namespace}/access", get(access::show))
        .route("/n/{namespace}/rules", post(access::create_rule))
        .route("/n/{namespace}/rules/{id}/delete", post(access::delete_rule))
        .route("/n/{namespace}/accounts", post(access::create_account))
        .route("/n/{namespace}/accounts/{id}/delete", post(access::delete_account))
        .route("/n/{namespace}/audit", get(audit::show))
        .route("/n/{namespace}/audit.ndjson", get(audit::export))
        .route("/projects", get(projects::show))
        .route("/projects", post(projects::create))
        .route("/projects/{id}/environments", post(projects::add_environment))
        .route("/projects/{id}/delete", post(projects::delete))
        .route("/environments/{environment}/delete", post(projects::delete_environment))
}

fn settings() -> Router<Arc<Portal>> {
    Router::new()
        .route("/settings", get(token::show))
        .route("/settings/token", post(token::create))
        .route("/settings/keys", get(keys::show))
        .route("/settings/keys", post(keys::create))
        .route("/settings/keys/{id}/revoke", post(keys::revoke))
        .route("/settings/sessions", get(sessions::show))
        .route("/settings/sessions/{id}/end", post(sessions::end))
        .route("/settings/identities", post(oidc::link))
        .route("/settings/identities/{id}/unlink", post(oidc::unlink))
        .route("/settings/profile", get(profile::show))
        .route("/settings/name", post(profile::name))
        .route("/settings/password", post(profile::password))
        .route("/settings/email", post(profile::email))
        .route("/settings/email/confirm", post(profile::confirm_email))
        .route("/settings/totp", post(profile::start_totp))
        .route("/settings/totp/confirm", post(profile::confirm_totp))
        .route("/settings/totp/remove", post(profile::remove_totp))
        .route("/settings/delete", post(profile::delete))
}

fn operators() -> Router<Arc<Portal>> {
    Router::new()
        .route("/operator", get(operator::namespaces))
        .route("/operator/namespaces/{changed}", post(operator::change_namespace))
        .route("/operator/people", get(operator::people))
        .route("/operator/people/{id}", post(operator::change_person))
        .route("/operator/invitations", post(operator::invite))
        .route("/operator/plans", get(operator::plans))
        .route("/operator/audit", get(operator::audit))
}
