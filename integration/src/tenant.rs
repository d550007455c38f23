//! People who share a platform: each signs up by the mailed code and copies a token, as on the pages.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::{Micro, Platform, eventually};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// Somebody with an account, and a command line that is logged in with a copied token.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// What a browser would hold.
    pub session: String,
    pub namespace: String,
    /// The key that `micro login` was given.
    pub token: String,
    pub micro: Micro,
}

impl Tenant {
    /// Signs somebody up whose address is `<name>@example.com`.
    pub async fn sign_up(platform: &Platform, name: &str) -> Result<Self> {
        let email = format!("{name}@example.com");
        let asked = send(platform, "", Method::POST, "/v1/signup/code", &json!({"email": email})).await?;
        ensure!(asked.status == 202, "{asked:?}");
        let code = mailed_code(platform, &email, "").await?;
        let signup = json!({"email": email, "code": code, "password": PASSWORD, "name": name});
        let opened = send(platform, "", Method::POST, "/v1/signup", &signup).await?;
        ensure!(opened.status == 201, "{opened:?}");
        let opened = opened.json()?;
        let session = opened["session"].as_str().context("a session")?.to_owned();
        let namespace = opened["namespace"].as_str().context("a namespace")?.to_owned();
        let made =
            send(platform, &session, Method::POST, "/v1/keys", &json!({"description": "test"})).await?;
        let token = made.json()?["token"].as_str().context("a token")?.to_owned();
        let home = platform.scratch().join(name);
        fs::create_dir_all(&home).context("make a home")?;
        let micro = Micro::new(&home)
            .with_env("MICRO_PLATFORM_ADDRESS", &platform.control().to_string())
            .with_env("MICRO_ENV", "platform");
        let text = micro.ok(&["login", &format!("--token={token}")]).await?;
        ensure!(text == "You have been logged in\n", "{text}");
        Ok(Self { session, namespace, token, micro })
    }

    /// Calls a path of the gateway in this tenant's namespace, by its host name, with this credential or none.
    pub async fn called_with(&self, platform: &Platform, credential: &str, path: &str) -> Result<Answer> {
        let host = format!("{}.localhost:{}", self.namespace, platform.api().port());
        let mut request = http::client()?.get(platform.url(path)).header("host", host);
        if !credential.is_empty() {
            request = request.bearer_auth(credential);
        }
        http::send(request).await
    }
}

/// The code of the last mail to this address that says `about`.
pub async fn mailed_code(platform: &Platform, email: &str, about: &str) -> Result<String> {
    let to = format!("To: {email}");
    eventually("the mail", Duration::from_secs(20), async || {
        let mails = fs::read_to_string(platform.data().join("mail.txt")).context("read the mails")?;
        let mut mails = mails.rsplit("\n--\n").filter(|mail| mail.contains(&to) && mail.contains(about));
        let mail = mails.next().context("find the mail")?;
        let line = mail.lines().find(|line| line.starts_with("    ")).context("find the code")?;
        Ok(line.trim().to_owned())
    })
    .await
}

/// Sends JSON to the control API, over the port; with no credential if it is empty, with no body if it is null.
pub async fn send(
    platform: &Platform,
    credential: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer> {
    let url = format!("http://{}{path}", platform.control());
    let mut request = http::client()?.request(method, url).header("content-type", "application/json");
    if !credential.is_empty() {
        request = request.bearer_auth(credential);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    http::send(request).await
}
