//! `micro config`: the conversations of the catalogue, and what a running service reads of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::tenant::Tenant;
use micro_integration::{Database, Micro, Options, Platform, eventually, http};
use serde_json::{Value, json};

/// The service that the tests deploy.
fn manifest() -> String {
    format!(
        "[service]\nname = \"prober\"\npublic = true\n[grants]\n{ALL_GRANTS}config = [\"own\", \"secret:shared.token\"]\n\
         [config]\nhost = \"localhost\"\nport = 3000\n"
    )
}

/// How long a change may take until every node reads it.
const WITHIN: Duration = Duration::from_secs(1);

async fn probe(platform: &Platform, import: &str, name: &str) -> Result<String> {
    let body = json!({"import": import, "name": name});
    let answer = platform.post("/prober/probe", &body.to_string()).await?;
    ensure!(answer.status == 200, "{import} {name}: {answer:?}");
    Ok(answer.json()?["said"].as_str().unwrap_or_default().to_owned())
}

async fn deploy(platform: &Platform) -> Result<()> {
    let folder = platform.scratch().join("prober");
    Guest::Prober.place(&folder, &manifest())?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_of_the_catalogue() -> Result<()> {
    let platform = Platform::start().await?;
    transcripts(&platform.micro()).await?;
    // G-99
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    ann.micro.ok(&["config", "set", "somekey", "val1"]).await?;
    ensure!(ann.micro.ok(&["config", "get", "somekey"]).await? == "val1\n");
    ensure!(bob.micro.fails(&["config", "get", "somekey"]).await? == "not found\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_of_the_catalogue_on_postgres() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    let flags = vec!["--db".to_owned(), database.url()];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    transcripts(&platform.micro()).await
}

async fn transcripts(micro: &Micro) -> Result<()> {
    let config = async |words: &[&str]| micro.run(&[&["config"], words].concat()).await;
    let quiet = async |words: &[&str]| {
        let output = config(words).await?;
        ensure!(
            output.code == 0 && output.stdout.is_empty() && output.stderr.is_empty(),
            "{words:?}: {output:?}"
        );
        Ok(())
    };
    let prints = async |words: &[&str], text: &str| {
        let output = config(words).await?;
        ensure!(output.code == 0 && output.stdout == format!("{text}\n"), "{words:?}: {output:?}");
        Ok(())
    };
    let missing = async |path: &str| {
        let output = config(&["get", path]).await?;
        ensure!(output.code == 1 && output.stderr == "not found\n" && output.stdout.is_empty(), "{output:?}");
        Ok(())
    };
    let equals = async |path: &str, value: Value| {
        let output = config(&["get", path]).await?;
        ensure!(serde_json::from_str::<Value>(&output.stdout)? == value, "{output:?}");
        Ok(())
    };
    missing("somekey").await?; // G-90
    quiet(&["set", "somekey", "val1"]).await?; // G-91
    prints(&["get", "somekey"], "val1").await?;
    quiet(&["del", "somekey"]).await?; // G-92
    missing("somekey").await?;
    quiet(&["set", "someotherkey.subkey", "otherval1"]).await?; // G-93
    prints(&["get", "someotherkey.subkey"], "otherval1").await?;
    prints(&["get", "someotherkey"], "{\"subkey\":\"otherval1\"}").await?;
    quiet(&["set", "mergekey", "{\"a\":1}"]).await?; // G-94
    quiet(&["set", "mergekey", "{\"b\":2}"]).await?;
    equals("mergekey", json!({"a": 1, "b": 2})).await?;
    quiet(&["set", "complexmerge", "{\"a\":1,\"b\":{\"b1\":2},\"c\":3}"]).await?; // G-95
    quiet(&["set", "complexmerge", "{\"d\":4,\"b\":{\"b2\":2.2}}"]).await?;
    equals("complexmerge", json!({"a": 1, "b": {"b1": 2, "b2": 2.2}, "c": 3, "d": 4})).await?;
    quiet(&["set", "pod", "hi"]).await?; // G-96
    quiet(&["set", "pod", "{\"a\":1}"]).await?;
    equals("pod", json!({"a": 1})).await?;
    quiet(&["set", "pod", "hello"]).await?;
    prints(&["get", "pod"], "hello").await?;
    quiet(&["set", "jsonescape", "\"Value with <> signs\""]).await?; // G-97
    prints(&["get", "jsonescape"], "Value with <> signs").await?;
    quiet(&["set", "--secret", "key.subkey1", "42"]).await?; // G-98
    prints(&["get", "key.subkey1"], "[secret]").await?;
    prints(&["get", "--secret", "key.subkey1"], "42").await?;
    equals("key", json!({"subkey1": "[secret]"})).await?;
    let usage = config(&["set", "key"]).await?;
    ensure!(usage.code == 1 && usage.stderr == "Required usage: micro config set key val\n", "{usage:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_reads_a_change_within_a_second() -> Result<()> {
    let mut platform = Platform::start().await?;
    deploy(&platform).await?;
    let micro = platform.micro();
    ensure!(probe(&platform, "config.get", "host").await?.contains("localhost"), "the manifest's default");
    for n in 0..3 {
        micro.ok(&["config", "set", "prober", &format!("{{\"host\": \"10.0.0.{n}\"}}")]).await?;
        micro.ok(&["config", "set", "--secret", "shared.token", &format!("token-{n}")]).await?;
        let written = Instant::now();
        eventually("the service reads it", WITHIN, async || {
            let host = probe(&platform, "config.get", "host").await?;
            let token = probe(&platform, "config.secret", "shared.token").await?;
            ensure!(
                host.contains(&format!("10.0.0.{n}")) && token.contains(&format!("token-{n}")),
                "{host} {token}"
            );
            Ok(())
        })
        .await?;
        ensure!(written.elapsed() < WITHIN + Duration::from_millis(500), "{:?}", written.elapsed());
    }
    ensure!(probe(&platform, "config.get", "port").await?.contains("3000"), "the default beside it");
    ensure!(probe(&platform, "config.get", "shared").await? == "None", "another's part");
    micro.ok(&["config", "set", "--secret", "other.token", "x"]).await?;
    let refused = probe(&platform, "config.secret", "other.token").await?;
    ensure!(refused.starts_with("403") && refused.contains("secret:other.token"), "{refused}");
    // History, and back.
    let history: Value = serde_json::from_str(&micro.ok(&["config", "history", "--json"]).await?)?;
    let first = history.as_array().and_then(|all| all.last()).context("a version")?;
    ensure!(
        first["path"] == "prober" && first["sha256"].as_str().is_some_and(|text| text.len() == 64),
        "{first}"
    );
    micro.ok(&["config", "restore", &first["version"].to_string()]).await?;
    eventually("the first value is back", WITHIN, async || {
        let host = probe(&platform, "config.get", "host").await?;
        ensure!(host.contains("10.0.0.0"), "{host}");
        Ok(())
    })
    .await?;
    let diff = micro.ok(&["config", "diff"]).await?;
    ensure!(diff == "- prober.host = \"10.0.0.2\"\n+ prober.host = \"10.0.0.0\"\n", "{diff}");
    // What was acknowledged survives a crash.
    micro.ok(&["config", "set", "prober.host", "after"]).await?;
    platform.kill()?;
    platform.start_server().await?;
    ensure!(micro.ok(&["config", "get", "prober.host"]).await? == "after\n");
    eventually("the service answers again", Duration::from_secs(20), async || {
        let host = probe(&platform, "config.get", "host").await?;
        ensure!(host.contains("after"), "{host}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_cloned_with_secrets_only_when_asked() -> Result<()> {
    let platform = Platform::start().await?;
    let ann = Tenant::sign_up(&platform, "ann").await?;
    // A session acts in all of a person's namespaces.
    let client = http::client()?;
    let ask = async |method: reqwest::Method, path: &str, namespace: &str, body: Value| {
        let url = format!("http://{}{path}", platform.control());
        let request =
            client.request(method, url).bearer_auth(&ann.session).header("micro-namespace", namespace);
        let answer = http::send(request.json(&body)).await?;
        ensure!(answer.status < 300, "{path}: {answer:?}");
        Ok(if answer.body.is_empty() { Value::Null } else { answer.json()? })
    };
    let (get, post) = (reqwest::Method::GET, reqwest::Method::POST);
    let own = ann.namespace.as_str();
    let projects = ask(get.clone(), "/v1/projects", own, Value::Null).await?;
    let project = projects[0]["id"].as_str().context("a project")?;
    let path = format!("/v1/projects/{project}/environments");
    let made = ask(post.clone(), &path, own, json!({"name": "staging"})).await?;
    let staging = made["namespace"].as_str().context("a namespace")?.to_owned();
    ask(post.clone(), "/v1/config/set", own, json!({"path": "a.b", "value": 1})).await?;
    ask(post.clone(), "/v1/config/set", own, json!({"path": "a.s", "value": "planted", "secret": true}))
        .await?;
    ask(post.clone(), "/v1/config/clone", own, json!({"namespace": staging})).await?;
    let there = ask(get.clone(), "/v1/config", &staging, Value::Null).await?;
    ensure!(there["value"] == json!({"a": {"b": 1}}), "{there}");
    ask(post.clone(), "/v1/config/clone", own, json!({"namespace": staging, "with_secrets": true})).await?;
    let shown = ask(post, "/v1/config/secret", &staging, json!({"path": "a.s"})).await?;
    ensure!(shown["value"] == "planted", "{shown}");
    // A key of one namespace cannot.
    let refused = ann.micro.fails(&["config", "clone", &staging]).await?;
    ensure!(refused.contains("for people"), "{refused}");
    Ok(())
}
