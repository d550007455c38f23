//! Logins: what `config.json` keeps of them, and how an access token is renewed before it ends.
//!
//! A renewal takes the lock of the configuration, looks whether another command was faster, and saves the new tokens
//! before it uses them. A command that dies in between loses nothing: for 30 s the server gives the same successor
//! for the same refresh token.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use micro_api::auth::{Token, TokenRequest};
use micro_client::Client;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::format::now_ms;

/// An access token that ends within so many seconds is renewed first.
const MARGIN_SECONDS: i64 = 30;
/// Access tokens of other namespaces that are kept.
const OTHERS_MAX: usize = 16;

/// The login of one environment: an API key in `token`, or tokens that are renewed. Neither: only the chosen
/// namespace, for the server of this machine.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Login {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) token: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) access_token: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) refresh_token: String,
    /// Unix seconds at which `access_token` ends.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) expiry: i64,
    /// The namespace that the credential serves, or that was chosen.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    /// Access tokens for `--namespace`, by namespace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<String, Access>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    access_token: String,
    expiry: i64,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Login {
    pub(crate) fn of_key(token: &str, namespace: &str) -> Self {
        Self { token: token.to_owned(), namespace: namespace.to_owned(), ..Self::default() }
    }

    pub(crate) fn of_token(token: Token) -> Self {
        Self {
            access_token: token.access_token,
            refresh_token: token.refresh_token,
            expiry: token.expiry,
            namespace: token.namespace,
            ..Self::default()
        }
    }

    /// Whether it holds anything to send.
    pub(crate) fn is_credential(&self) -> bool {
        !self.token.is_empty() || !self.access_token.is_empty() || !self.refresh_token.is_empty()
    }

    /// Whether its namespace can be changed without another login.
    pub(crate) fn is_renewable(&self) -> bool {
        !self.refresh_token.is_empty()
    }

    /// What to send for `namespace` (none: the login's own) if that holds for another `margin` seconds.
    fn ready(&self, namespace: Option<&str>, margin: i64) -> Option<&str> {
        if !self.token.is_empty() {
            return Some(&self.token);
        }
        let until = now_ms() / 1_000 + margin;
        let (token, expiry) = match namespace {
            Some(name) if name != self.namespace => {
                let access = self.others.get(name)?;
                (&access.access_token, access.expiry)
            }
            _ => (&self.access_token, self.expiry),
        };
        (!token.is_empty() && expiry > until).then_some(token)
    }

    /// Takes over what a renewal gave.
    fn renew(&mut self, token: Token) {
        self.refresh_token = token.refresh_token;
        if self.namespace.is_empty() || self.namespace == token.namespace {
            self.namespace = token.namespace;
            (self.access_token, self.expiry) = (token.access_token, token.expiry);
            return;
        }
        let now = now_ms() / 1_000;
        self.others.retain(|_, access| access.expiry > now);
        if self.others.len() >= OTHERS_MAX {
            self.others.pop_first();
        }
        let access = Access { access_token: token.access_token, expiry: token.expiry };
        self.others.insert(token.namespace, access);
    }
}

/// The credential that the environment `env` has for `namespace` (none: the one that the login chose), renewed by
/// `client` when it ends soon. None without a login.
pub(crate) async fn credential(
    home: &Path,
    env: &str,
    namespace: Option<&str>,
    client: &Client,
) -> Result<Option<String>> {
    let Some(login) = config::load(home)?.login(env).filter(Login::is_credential) else { return Ok(None) };
    if let Some(token) = login.ready(namespace, MARGIN_SECONDS) {
        return Ok(Some(token.to_owned()));
    }
    let _lock = config::lock(home)?;
    let mut config = config::load(home)?;
    let Some(mut login) = config.login(env).filter(Login::is_credential) else { return Ok(None) };
    if let Some(token) = login.ready(namespace, MARGIN_SECONDS) {
        return Ok(Some(token.to_owned()));
    }
    if !login.is_renewable() {
        // The server says what is wrong with it.
        return Ok(Some(login.access_token));
    }
    let request = TokenRequest {
        refresh_token: login.refresh_token.clone(),
        namespace: namespace.unwrap_or(&login.namespace).to_owned(),
        ..TokenRequest::default()
    };
    match client.token(&request).await {
        Ok(token) => {
            let credential = token.access_token.clone();
            login.renew(token);
            config.set_login(env, &login)?;
            config::save(home, &config)?;
            Ok(Some(credential))
        }
        Err(error) => match login.ready(namespace, 0) {
            // It holds for a few seconds more: the command need not fail.
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(ended(error).into()),
        },
    }
}

/// Replaces the namespace that the login chose. The server refuses one that the person is no member of.
pub(crate) async fn choose_namespace(home: &Path, env: &str, namespace: &str, client: &Client) -> Result<()> {
    let _lock = config::lock(home)?;
    let mut config = config::load(home)?;
    let mut login = config.login(env).unwrap_or_default();
    if login.is_renewable() {
        let request = TokenRequest {
            refresh_token: login.refresh_token.clone(),
            namespace: namespace.to_owned(),
            ..TokenRequest::default()
        };
        let token = client.token(&request).await.map_err(ended)?;
        login = Login::of_token(token);
    }
    login.namespace = namespace.to_owned();
    config.set_login(env, &login)?;
    config::save(home, &config)
}

/// A refresh token that the server does not take means that the login is over, whatever it calls that.
fn ended(error: micro_client::Error) -> micro_client::Error {
    match error {
        micro_client::Error::Api(mut error) if error.code == 400 => {
            error.code = 401;
            micro_client::Error::Api(error)
        }
        other => other,
    }
}

/// The namespace that a JWT says it is for. Nothing is checked: it only goes into messages.
pub(crate) fn issuer(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let issuer = claims.get("iss")?.as_str()?;
    issuer.parse::<micro_api::Namespace>().ok().map(|name| name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(namespace: &str, ends_in: i64) -> Token {
        Token {
            access_token: format!("access-{namespace}"),
            refresh_token: format!("refresh-{namespace}"),
            created: 0,
            expiry: now_ms() / 1_000 + ends_in,
            namespace: namespace.to_owned(),
        }
    }

    #[test]
    fn an_access_token_that_ends_soon_is_not_ready() {
        let login = Login::of_token(token("a", 29));
        assert_eq!(login.ready(None, MARGIN_SECONDS), None);
        assert_eq!(login.ready(None, 0), Some("access-a"));
        assert_eq!(Login::of_token(token("a", 60)).ready(Some("a"), MARGIN_SECONDS), Some("access-a"));
        assert_eq!(Login::of_key("micro_1", "a").ready(Some("b"), MARGIN_SECONDS), Some("micro_1"));
    }

    #[test]
    fn another_namespaces_token_stands_beside_the_chosen_one() {
        let mut login = Login::of_token(token("a", 900));
        login.renew(token("b", 900));
        assert_eq!(login.ready(None, MARGIN_SECONDS), Some("access-a"));
        assert_eq!(login.ready(Some("b"), MARGIN_SECONDS), Some("access-b"));
        assert_eq!(login.refresh_token, "refresh-b", "only the newest refresh token counts");
        for count in 0..2 * OTHERS_MAX {
            login.renew(token(&format!("n{count}"), 900));
        }
        assert_eq!(login.others.len(), OTHERS_MAX);
        login.renew(token("gone", -1));
        login.renew(token("c", 900));
        assert!(!login.others.contains_key("gone"));
    }

    #[test]
    fn a_login_is_kept_without_empty_fields_and_not_printed() {
        let login = Login::of_key("micro_secret", "a");
        assert_eq!(serde_json::to_string(&login).unwrap(), r#"{"token":"micro_secret","namespace":"a"}"#);
        assert!(!format!("{login:?}").contains("secret"));
        assert_eq!(
            serde_json::from_str::<Login>(r#"{"token":"micro_secret","namespace":"a"}"#).unwrap(),
            login
        );
    }

    #[test]
    fn a_jwt_names_its_namespace() {
        let body = URL_SAFE_NO_PAD.encode(r#"{"iss":"quick-red-fox","exp":1}"#);
        assert_eq!(issuer(&format!("x.{body}.y")).as_deref(), Some("quick-red-fox"));
        let hostile = URL_SAFE_NO_PAD.encode(r#"{"iss":"\u001b[2J"}"#);
        for text in ["micro_abc", "a.b.c", &format!("x.{hostile}.y")] {
            assert_eq!(issuer(text), None, "{text}");
        }
    }
}
