//! The pages: one file each, with the forms that stand on it.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod call;
pub(crate) mod deployment;
pub(crate) mod device;
pub(crate) mod front;
pub(crate) mod invitation;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod members;
pub(crate) mod new;
pub(crate) mod oidc;
pub(crate) mod operator;
pub(crate) mod overview;
pub(crate) mod profile;
pub(crate) mod projects;
pub(crate) mod reset;
pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod signup;
pub(crate) mod token;
pub(crate) mod usage;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::error::Fault;

/// What a page's handler gives.
pub(crate) type Answer = Result<Response, Fault>;

/// What a page says after a form did its work: the address names the message, it cannot bring one.
pub(crate) fn done(key: &str) -> Option<&'static str> {
    Some(match key {
        "welcome" => "Your account is ready.",
        "killed" => "The service is stopped.",
        "role" => "The role is changed.",
        "removed" => "The member is removed.",
        "invited" => "The invitation is on its way.",
        "withdrawn" => "The invitation is withdrawn.",
        "rule" => "The rule is created. It holds within a second.",
        "rule-gone" => "The rule is deleted.",
        "account-gone" => "The account is deleted, and its tokens with it.",
        "project" => "The project is created.",
        "environment" => "The environment is created.",
        "deleted" => "It is deleted.",
        "revoked" => "The key is revoked. Whoever uses it gets 401 from now on.",
        "linked" => "The account is linked. It logs you in from now on.",
        "unlinked" => "The account is unlinked. It logs you in no more.",
        "ended" => "The session is ended.",
        "name" => "Your name is changed.",
        "password" => "Your password is changed. All other sessions have ended.",
        "email" => "Your e-mail address is changed.",
        "totp-on" => "The second factor is on. You will be asked for its code when you log in.",
        "totp-off" => "The second factor is off.",
        "reset" => "Your password is changed and all sessions have ended. Log in with the new one.",
        "gone" => "Your account is deleted.",
        "joined" => "You are a member now.",
        "device" => "The command line is logged in. You can go back to it.",
        "changed" => "The change is made.",
        "bye" => "You are logged out.",
        _ => return None,
    })
}

/// The first page of a namespace; who is a member of none begins with projects.
pub(crate) fn home(namespace: &str) -> String {
    if namespace.is_empty() { "/projects".to_owned() } else { format!("/n/{namespace}") }
}

/// 303: the browser gets `path`. Not a path of a plain character set: the front page.
pub(crate) fn see(path: &str) -> Response {
    let path = crate::redirect::own_path(path).unwrap_or("/").to_owned();
    (axum::http::StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}
