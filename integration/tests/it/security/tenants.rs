//! Two tenants on one platform, and what one finds of the other: nothing.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::{Micro, Options, Platform, eventually, http};
use serde_json::{Value, json};
use std::time::Duration;

const PASSWORD: &str = "correct horse battery";

/// Somebody with an account, and a command line that is logged in with a copied token.
struct Tenant {
    session: String,
    namespace: String,
    token: String,
    micro: Micro,
}

/// Sends JSON to the control API.
async fn api(
    platform: &Platform,
    credential: &str,
    method: reqwest::Method,
    path: &str,
    body: Value,
) -> Result<http::Answer> {
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

async fn sign_up(platform: &Platform, name: &str) -> Result<Tenant> {
    use reqwest::Method;
    let email = format!("{name}@example.com");
    let asked = api(platform, "", Method::POST, "/v1/signup/code", json!({"email": email})).await?;
    ensure!(asked.status == 202, "{asked:?}");
    let code = eventually("the mail", Duration::from_secs(20), async || {
        let mails = std::fs::read_to_string(platform.data().join("mail.txt")).context("read the mails")?;
        let mail = mails.rsplit(&format!("To: {email}")).next().unwrap_or_default().to_owned();
        let line = mail.lines().find(|line| line.starts_with("    ")).context("find the code")?;
        Ok(line.trim().to_owned())
    })
    .await?;
    let signup = json!({"email": email, "code": code, "password": PASSWORD, "name": name});
    let opened = api(platform, "", Method::POST, "/v1/signup", signup).await?;
    ensure!(opened.status == 201, "{opened:?}");
    let opened = opened.json()?;
    let session = opened["session"].as_str().context("a session")?.to_owned();
    let namespace = opened["namespace"].as_str().context("a namespace")?.to_owned();
    let made = api(platform, &session, Method::POST, "/v1/keys", json!({"description": "test"})).await?;
    let token = made.json()?["token"].as_str().context("a token")?.to_owned();
    let home = platform.scratch().join(name);
    std::fs::create_dir_all(&home).context("make a home")?;
    let micro = Micro::new(&home)
        .with_env("MICRO_PLATFORM_ADDRESS", &platform.control().to_string())
        .with_env("MICRO_ENV", "platform");
    let text = micro.ok(&["login", &format!("--token={token}")]).await?;
    ensure!(text == "You have been logged in\n", "{text}");
    Ok(Tenant { session, namespace, token, micro })
}

fn place(dir: &Path, example: &'static str, manifest: &str) -> Result<String> {
    Guest::Example(example).place(dir, manifest)?;
    Ok(dir.display().to_string())
}

/// A call through the gateway, into a namespace by its host.
async fn call(platform: &Platform, namespace: &str, credential: &str, path: &str) -> Result<http::Answer> {
    let host = format!("{namespace}.localhost:{}", platform.api().port());
    let mut request = http::client()?.get(platform.url(path)).header("host", host);
    if !credential.is_empty() {
        request = request.bearer_auth(credential);
    }
    http::send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_share_a_platform_and_see_nothing_of_each_other() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (sign_up(&platform, "ann").await?, sign_up(&platform, "bob").await?);
    ensure!(ann.namespace != bob.namespace, "one namespace for two");

    // A private service of Ann's, a public one of Bob's with the same name.
    let private = "[service]\nname = \"helloworld\"\n";
    let public = "[service]\nname = \"helloworld\"\npublic = true\n";
    let scratch = platform.scratch();
    let (of_ann, of_bob) =
        (place(&scratch.join("a"), "helloworld", private)?, place(&scratch.join("b"), "helloworld", public)?);
    let said = ann.micro.ok(&["run", &of_ann]).await?;
    ensure!(said.contains("[Platform] Service helloworld:latest created"), "{said}");
    bob.micro.ok(&["run", &of_bob]).await?;

    let path = "/helloworld/call?name=Jane";
    let answer = call(&platform, &ann.namespace, &ann.token, path).await?;
    ensure!(answer.status == 200 && answer.body.contains("Hello Jane"), "{answer:?}");
    let answer = call(&platform, &bob.namespace, "", path).await?;
    ensure!(answer.status == 200, "public: {answer:?}");
    // Nobody, a stranger, a nonsense token, a browser's session.
    let nobody = call(&platform, &ann.namespace, "", path).await?;
    ensure!(nobody.status == 401 && nobody.body.contains("public = true"), "{nobody:?}");
    let stranger = call(&platform, &ann.namespace, &bob.token, path).await?;
    ensure!(stranger.status == 403, "{stranger:?}");
    ensure!(stranger.body.contains("Account not issued by"), "{stranger:?}");
    for refused in ["nonsense", ann.session.as_str()] {
        let answer = call(&platform, &bob.namespace, refused, path).await?;
        ensure!(answer.status == 401, "a bad token on a public service: {answer:?}");
    }

    // What each lists is their own.
    for (tenant, other) in [(&ann, &bob), (&bob, &ann)] {
        for words in [&["status"][..], &["list", "services"], &["logs", "helloworld"], &["token", "list"]] {
            let text = tenant.micro.ok(words).await?;
            ensure!(!text.contains(&other.namespace), "micro {words:?}: {text}");
        }
    }
    tenant_stores_are_apart(&ann, &bob).await?;

    // Revoked, everywhere, at once.
    let keys = api(&platform, &bob.session, reqwest::Method::GET, "/v1/keys", Value::Null).await?.json()?;
    let id = keys[0]["id"].as_str().context("a key")?.to_owned();
    let path = format!("/v1/keys/{id}");
    let gone = api(&platform, &bob.session, reqwest::Method::DELETE, &path, Value::Null).await?;
    ensure!(gone.status == 204, "{gone:?}");
    let refused = bob.micro.fails(&["status"]).await?;
    ensure!(refused.contains("[Platform] API Error: 401"), "{refused}");
    let answer = call(&platform, &bob.namespace, &bob.token, "/helloworld/call").await?;
    ensure!(answer.status == 401, "{answer:?}");
    Ok(())
}

async fn tenant_stores_are_apart(ann: &Tenant, bob: &Tenant) -> Result<()> {
    ann.micro.ok(&["store", "write", "secret", "of ann"]).await?;
    ensure!(ann.micro.ok(&["store", "read", "secret"]).await?.contains("of ann"), "one's own");
    let refused = bob.micro.fails(&["store", "read", "secret"]).await?;
    ensure!(!refused.contains("of ann"), "{refused}");
    let listed = bob.micro.ok(&["store", "list"]).await?;
    ensure!(!listed.contains("secret"), "{listed}");
    Ok(())
}

/// Another user of this machine reaches the port, not the socket.
#[tokio::test(flavor = "multi_thread")]
async fn the_port_needs_a_credential_and_the_socket_an_owner() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let answer = api(&platform, "", reqwest::Method::GET, "/v1/services", Value::Null).await?;
    ensure!(answer.status == 401 && answer.body.contains("account is required"), "{answer:?}");
    ensure!(platform.micro().run(&["status"]).await?.code == 0, "the owner by the socket");
    let tcp = platform.micro().with_env("MICRO_PROXY_ADDRESS", &platform.control().to_string());
    let refused = tcp.fails(&["status"]).await?;
    ensure!(refused.contains("account is required"), "{refused}");
    let rpc = json!({"service": "helloworld", "endpoint": "Helloworld.Call", "request": {}});
    let answer = api(&platform, "", reqwest::Method::POST, "/rpc", rpc).await?;
    ensure!(answer.status == 401 || answer.status == 404, "{answer:?}");
    Ok(())
}
