//! Services that are called when the registry of their namespace changes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Options, Platform, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const TOPIC: &str = "go.micro.registry.events";
/// How long a delivery may take, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(30);

/// Somebody with a service that keeps what it is told of the registry.
struct Listener<'a> {
    platform: &'a Platform,
    tenant: Tenant,
}

impl<'a> Listener<'a> {
    async fn start(platform: &'a Platform, name: &str) -> Result<Self> {
        let tenant = Tenant::sign_up(platform, name).await?;
        let listener = Self { platform, tenant };
        let manifest = format!(
            "[service]\nname = \"prober\"\n[grants]\n{ALL_GRANTS}config = [\"own\"]\n\
             [[subscribe]]\ntopic = \"{TOPIC}\"\nendpoint = \"Prober.Changed\"\n"
        );
        listener.run("prober", Guest::Prober, &manifest).await?;
        Ok(listener)
    }

    async fn run(&self, name: &str, guest: Guest, manifest: &str) -> Result<()> {
        let folder = self.platform.scratch().join(format!("{name}-of-{}", self.tenant.namespace));
        guest.place(&folder, manifest)?;
        self.tenant.micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = send(self.platform, &self.tenant.token, Method::POST, path, body).await?;
        ensure!(answer.status == 200 || answer.status == 204, "{path}: {answer:?}");
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// What it was told but for its own coming: the change, the service, its version, and where it is.
    async fn heard(&self) -> Result<BTreeSet<String>> {
        let all = json!({"key": "changed/", "prefix": true});
        let records = self.ask("/v1/store/prober/read", &all).await?;
        let texts = records.as_array().context("records")?.iter().map(|record| {
            let value = STANDARD.decode(record["value"].as_str().context("a value")?)?;
            anyhow::Ok(String::from_utf8(value)?)
        });
        let texts: BTreeSet<_> = texts.collect::<Result<_>>()?;
        Ok(texts.into_iter().filter(|text| !text.contains(" prober latest ")).collect())
    }

    /// Waits until it was told so, and nothing else.
    async fn hears(&self, wanted: &[String]) -> Result<()> {
        eventually(&format!("it is told {wanted:?}"), WITHIN, async || {
            let heard = self.heard().await?;
            ensure!(heard.iter().eq(wanted), "{heard:?}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_called_when_one_of_its_namespace_comes_and_goes_and_for_no_other() -> Result<()> {
    let platform = Platform::start_with(Options { closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Listener::start(&platform, "ann").await?, Listener::start(&platform, "bob").await?);
    let here = platform.api();
    let created = format!("create greeter latest at {here} by registry");
    let deleted = format!("delete greeter latest at {here} by registry");
    let greeter = Guest::Example("helloworld");
    ann.run("greeter", greeter, "[service]\nname = \"greeter\"\n").await?;
    ann.hears(std::slice::from_ref(&created)).await?;
    ann.tenant.micro.ok(&["kill", "greeter"]).await?;
    ann.hears(&[created.clone(), deleted.clone()]).await?;

    // Changes are told in order: what is Ann's would have come to Bob before what is his.
    let legacy = json!({"name": "legacy", "nodes": [{"id": "old", "address": "legacy.example.com:80"}]});
    bob.ask("/v1/registry/services", &legacy).await?;
    let known = "create legacy latest at legacy.example.com:80 by registry".to_owned();
    bob.hears(std::slice::from_ref(&known)).await?;
    bob.ask("/v1/registry/deregister", &json!({"name": "legacy"})).await?;
    let forgotten = "delete legacy latest at legacy.example.com:80 by registry".to_owned();
    bob.hears(&[known, forgotten]).await?;
    // And the other way round.
    let other = json!({"name": "other", "nodes": [{"id": "own", "address": "other.example.com:80"}]});
    ann.ask("/v1/registry/services", &other).await?;
    let last = "create other latest at other.example.com:80 by registry".to_owned();
    ann.hears(&[created, last, deleted]).await
}
