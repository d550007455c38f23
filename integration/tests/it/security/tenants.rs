//! Two tenants on one platform, and what one finds of the other: nothing.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::Guest;
use micro_integration::tenant::{PASSWORD, Tenant, mailed_code, send};
use micro_integration::{Options, Platform, http};
use reqwest::Method;
use serde_json::{Value, json};

fn place(dir: &Path, example: &'static str, manifest: &str) -> Result<String> {
    Guest::Example(example).place(dir, manifest)?;
    Ok(dir.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_share_a_platform_and_see_nothing_of_each_other() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
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
    let answer = ann.called_with(&platform, &ann.token, path).await?;
    ensure!(answer.status == 200 && answer.body.contains("Hello Jane"), "{answer:?}");
    let answer = bob.called_with(&platform, "", path).await?;
    ensure!(answer.status == 200, "public: {answer:?}");
    // Nobody, a stranger, a nonsense token, a browser's session.
    let nobody = ann.called_with(&platform, "", path).await?;
    ensure!(nobody.status == 401 && nobody.body.contains("public = true"), "{nobody:?}");
    let stranger = ann.called_with(&platform, &bob.token, path).await?;
    ensure!(stranger.status == 403, "{stranger:?}");
    ensure!(stranger.body.contains("Account not issued by"), "{stranger:?}");
    for refused in ["nonsense", ann.session.as_str()] {
        let answer = bob.called_with(&platform, refused, path).await?;
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
    let keys = send(&platform, &bob.session, Method::GET, "/v1/keys", &Value::Null).await?.json()?;
    let id = keys[0]["id"].as_str().context("a key")?.to_owned();
    let path = format!("/v1/keys/{id}");
    let gone = send(&platform, &bob.session, Method::DELETE, &path, &Value::Null).await?;
    ensure!(gone.status == 204, "{gone:?}");
    let refused = bob.micro.fails(&["status"]).await?;
    ensure!(refused.contains("[Platform] API Error: 401"), "{refused}");
    let answer = bob.called_with(&platform, &bob.token, "/helloworld/call").await?;
    ensure!(answer.status == 401, "{answer:?}");
    Ok(())
}

/// A stream is a call: it asks for the same credentials, whichever way it is opened.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_opened_to_nobody_else() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    let ticker = place(&platform.scratch().join("a"), "ticker", "[service]\nname = \"ticker\"\n")?;
    ann.micro.ok(&["run", &ticker]).await?;
    let words = ["stream", "-o", "raw", "ticker", "Ticker.Stream", r#"{"count": 2}"#];
    ensure!(ann.micro.ok(&words).await?.lines().count() == 2, "her own");

    let host = format!("{}.localhost:{}", ann.namespace, platform.api().port());
    let envelope = [&[0, 0, 0, 0, 11][..], br#"{"count":2}"#].concat();
    let open = |credential: &str, kind: &str, accept: &str| -> Result<reqwest::RequestBuilder> {
        let connect = kind.starts_with("application/connect");
        let body = if connect { envelope.clone() } else { br#"{"count":2}"#.to_vec() };
        let request = http::client()?.post(platform.url("/ticker/stream")).header("host", &host);
        let request = request.header("content-type", kind).header("accept", accept).body(body);
        Ok(if credential.is_empty() { request } else { request.bearer_auth(credential) })
    };
    for (kind, accept) in [
        ("application/json", "*/*"),
        ("application/json", "text/event-stream"),
        ("application/x-ndjson", "*/*"),
        ("application/connect+json", "*/*"),
        ("application/connect+proto", "*/*"),
    ] {
        for (credential, status) in
            [("", 401), ("nonsense", 401), (ann.session.as_str(), 401), (bob.token.as_str(), 403)]
        {
            let answer = http::send(open(credential, kind, accept)?).await?;
            ensure!(
                answer.status == status && !answer.body.contains("\"count"),
                "{kind} {accept}: {answer:?}"
            );
        }
    }
    let answer = http::send(open(&ann.token, "application/connect+json", "*/*")?).await?;
    ensure!(answer.status == 200 && answer.body.matches("count").count() == 2, "{answer:?}");

    // By the control API, too, where Bob's namespace has no such service and Ann's is not his.
    let refused = bob.micro.fails(&words).await?;
    ensure!(refused.contains("404") && !refused.contains("count\":"), "{refused}");
    let words: Vec<_> = words.into_iter().chain(["--namespace", ann.namespace.as_str()]).collect();
    let refused = bob.micro.fails(&words).await?;
    ensure!(refused.contains("403") && !refused.contains("count\":"), "{refused}");
    let rpc = json!({"service": "ticker", "endpoint": "Ticker.Stream", "request": {"count": 2}});
    let request = http::client()?.post(format!("http://{}/rpc", platform.control())).json(&rpc);
    let request = request.header("accept", "application/connect+json");
    let answer = http::send(request.header("micro-namespace", ann.namespace.as_str())).await?;
    ensure!(matches!(answer.status, 401 | 404) && !answer.body.contains("\"count"), "{answer:?}");
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
    let answer = send(&platform, "", Method::GET, "/v1/services", &Value::Null).await?;
    ensure!(answer.status == 401 && answer.body.contains("account is required"), "{answer:?}");
    ensure!(platform.micro().run(&["status"]).await?.code == 0, "the owner by the socket");
    let tcp = platform.micro().with_env("MICRO_PROXY_ADDRESS", &platform.control().to_string());
    let refused = tcp.fails(&["status"]).await?;
    ensure!(refused.contains("account is required"), "{refused}");
    let rpc = json!({"service": "helloworld", "endpoint": "Helloworld.Call", "request": {}});
    let answer = send(&platform, "", Method::POST, "/rpc", &rpc).await?;
    ensure!(answer.status == 401 || answer.status == 404, "{answer:?}");
    Ok(())
}

/// What a request does not ask for is not taken from it.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_nobody_asked_for_make_nobody_an_operator() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let extra = json!({
        "operator": true, "blocked": false, "role": "operator", "scopes": ["operator"], "plan": "operator",
        "namespace": "default", "invitations": 1_000, "owner": "somebody", "id": "somebody",
    });
    let with = |mut body: Value| {
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            for (key, value) in extra {
                body.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        body
    };
    let email = "eve@example.com";
    send(&platform, "", Method::POST, "/v1/signup/code", &json!({"email": email})).await?;
    let code = mailed_code(&platform, email, "").await?;
    let signup = with(json!({"email": email, "code": code, "password": PASSWORD, "name": "eve"}));
    let opened = send(&platform, "", Method::POST, "/v1/signup", &signup).await?;
    // Refused as a whole, or taken without them.
    let opened = match opened.status {
        201 => opened,
        400 => {
            let plain = json!({"email": email, "code": code, "password": PASSWORD, "name": "eve"});
            send(&platform, "", Method::POST, "/v1/signup", &plain).await?
        }
        _ => anyhow::bail!("{opened:?}"),
    };
    let session = opened.json()?["session"].as_str().context("a session")?.to_owned();
    for (method, path, body) in [
        (Method::PATCH, "/v1/me", with(json!({"name": "eve2"}))),
        (Method::POST, "/v1/projects", with(json!({"name": "mine"}))),
        (Method::POST, "/v1/keys", with(json!({"description": "mine", "scopes": ["viewer"]}))),
    ] {
        let answer = send(&platform, &session, method, path, &body).await?;
        ensure!(answer.status < 500, "{path}: {answer:?}");
    }
    let me = send(&platform, &session, Method::GET, "/v1/me", &Value::Null).await?.json()?;
    ensure!(me["operator"] != true, "{me}");
    let limits = send(&platform, &session, Method::GET, "/v1/limits", &Value::Null).await?.json()?;
    ensure!(limits["plan"] == "free" && limits["namespace"] != "default", "{limits}");
    let people = send(&platform, &session, Method::GET, "/v1/operator/people", &Value::Null).await?;
    ensure!(people.status == 403 || people.status == 404, "{people:?}");
    Ok(())
}
