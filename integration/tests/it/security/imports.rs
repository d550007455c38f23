//! Two tenants with services of the same names: what one's guest finds by each import of the platform, with every name
//! of the other's that it could know.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::guest::{ALL_GRANTS, Guest};
use micro_integration::repo::checkout;
use micro_integration::tenant::{Tenant, send};
use micro_integration::{Options, Platform, eventually, http};
use reqwest::Method;
use serde_json::{Value, json};

/// What only Ann has.
const KEY: &str = "planted-key";
const VALUE: &str = "planted-value";
const SERVICE: &str = "vault";
/// Of the same form, and nobody's.
const NOWHERE: &str = "nosuch";

/// Every function that the world of services imports: `store.get`, …
fn imports() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let world = fs::read_to_string(checkout("wit/world.wit")).context("read the world")?;
    let interfaces = world.lines().filter_map(|line| line.trim().strip_prefix("import "));
    for interface in interfaces.map(|name| name.trim_end_matches(';')) {
        let file = checkout("wit").join(format!("{interface}.wit"));
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            if let Some((name, rest)) = line.split_once(": ")
                && rest.trim_start_matches("async ").starts_with("func(")
            {
                found.insert(format!("{interface}.{}", name.trim_start_matches('%')));
            }
        }
    }
    Ok(found)
}

/// All that Bob's guest could call what is Ann's.
fn names(ann: &Tenant) -> Vec<String> {
    let namespace = &ann.namespace;
    let mut names: Vec<String> = ["", "*", "%", "_", "..", "/", "\0", "'", "prober", "default", "micro"]
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    for own in [KEY, SERVICE] {
        names.push(own.to_owned());
        for joint in [".", "/", ":", "\0", "--", "/prober/", "\0prober\0", ":prober:"] {
            names.push(format!("{namespace}{joint}{own}"));
            names.push(format!("{own}{joint}{namespace}"));
            names.push(format!("../{namespace}{joint}{own}"));
        }
        names.push(format!("go.micro.srv.{own}"));
        names.push(own.get(..4).unwrap_or_default().to_owned());
    }
    names.extend([namespace.clone(), ann.token.clone(), ann.session.clone()]);
    names
}

/// A guest of one tenant, and what it is asked to do.
struct Prober<'a> {
    platform: &'a Platform,
    tenant: &'a Tenant,
}

impl Prober<'_> {
    async fn deploy(&self) -> Result<()> {
        let folder = self.platform.scratch().join(format!("prober-{}", self.tenant.namespace));
        let (api, control) = (self.platform.api(), self.platform.control());
        let manifest = format!(
            "[service]\nname = \"prober\"\n[grants]\n{ALL_GRANTS}\
             config = [\"*\", \"secret:{KEY}\", \"secret:{SERVICE}\", \"secret:{NOWHERE}\"]\n\
             http = [\"{api}\", \"{control}\"]\n"
        );
        Guest::Prober.place(&folder, &manifest)?;
        self.tenant.micro.ok(&["run", &folder.display().to_string()]).await.map(drop)
    }

    async fn probe(&self, import: &str, name: &str, namespace: &str) -> Result<String> {
        let body = json!({"import": import, "name": name, "namespace": namespace});
        let host = format!("{}.localhost:{}", self.tenant.namespace, self.platform.api().port());
        let request = http::client()?.post(self.platform.url("/prober/probe")).header("host", host);
        let answer = http::send(request.bearer_auth(&self.tenant.token).json(&body)).await?;
        ensure!(answer.status == 200, "{import} {name:?}: {answer:?}");
        Ok(answer.json()?["said"].as_str().unwrap_or_default().to_owned())
    }
}

/// What is counted of a tenant and does not change by itself.
async fn used(platform: &Platform, tenant: &Tenant) -> Result<Vec<(String, i64)>> {
    const COUNTED: [&str; 5] = ["services", "requests_per_month", "store_bytes", "blob_bytes", "members"];
    let answer = send(platform, &tenant.token, Method::GET, "/v1/limits", &Value::Null).await?.json()?;
    let limits = answer["limits"].as_array().context("limits")?;
    let counted = limits.iter().filter_map(|limit| {
        let name = limit["name"].as_str().filter(|name| COUNTED.contains(name))?;
        Some((name.to_owned(), limit["used"].as_i64()?))
    });
    Ok(counted.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_nothing_of_another_tenants_by_any_import() -> Result<()> {
    let flags = vec!["--allow_loopback".to_owned()];
    let platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let (ann, bob) = (Tenant::sign_up(&platform, "ann").await?, Tenant::sign_up(&platform, "bob").await?);
    // So many probes are more than a plan would have.
    for tenant in [&ann, &bob] {
        platform.micro().ok(&["operator", "plan", &tenant.namespace, "operator"]).await?;
    }
    let folder = platform.scratch().join("vault");
    Guest::Example("helloworld").place(&folder, &format!("[service]\nname = \"{SERVICE}\"\n"))?;
    ann.micro.ok(&["run", &folder.display().to_string()]).await?;
    let (own, other) =
        (Prober { platform: &platform, tenant: &ann }, Prober { platform: &platform, tenant: &bob });
    // Before anybody reads it, so that nobody has to wait for a change.
    ann.micro.ok(&["config", "set", KEY, VALUE]).await?;
    ann.micro.ok(&["config", "set", "--secret", SERVICE, VALUE]).await?;
    own.deploy().await?;
    other.deploy().await?;
    ann.micro.ok(&["store", "write", "--table", "prober", KEY, VALUE]).await?;

    let planted = platform.scratch().join("planted");
    fs::write(&planted, VALUE)?;
    ann.micro.ok(&["blob", "put", "prober", KEY, &planted.display().to_string(), "--public"]).await?;

    // The probes work: Ann's own finds all of it.
    ensure!(own.probe("store.get", KEY, "").await?.contains(VALUE));
    ensure!(own.probe("store.read", "planted", "").await?.contains(VALUE));
    ensure!(own.probe("store.list", "", "").await?.contains(KEY));
    ensure!(own.probe("client.call", SERVICE, "").await?.contains("Hello"));
    ensure!(own.probe("registry.list-services", "", "").await?.contains(SERVICE));
    ensure!(own.probe("registry.get-service", SERVICE, "").await?.contains(SERVICE));
    ensure!(own.probe("registry.watch", SERVICE, "").await?.contains(SERVICE));
    ensure!(own.probe("config.get", KEY, "").await?.contains(VALUE));
    ensure!(own.probe("config.secret", SERVICE, "").await?.contains(VALUE));
    ensure!(own.probe("config.version", "", "").await?.contains('2'));
    // She leads now, for longer than the test takes.
    ensure!(own.probe("locks.lead", KEY, VALUE).await?.contains("true"));
    ensure!(own.probe("locks.leader", KEY, "").await?.contains(VALUE));
    own.probe("events.publish", KEY, VALUE).await?;
    ensure!(own.probe("events.read", KEY, "").await?.contains(VALUE));
    for (import, name) in [("blob.read", KEY), ("blob.stat", KEY), ("blob.url", KEY), ("blob.list", "")] {
        let wanted = if import == "blob.read" { VALUE } else { KEY };
        ensure!(own.probe(import, name, "").await?.contains(wanted), "{import}");
    }
    // A call that is not a stream's is no way to anybody's messages, and what does not stream is not opened.
    let said = own.probe("client.receive", SERVICE, "").await?;
    ensure!(said.starts_with("400 ") && said.contains("does not stream: use call"), "{said}");
    for import in ["streaming.receive", "streaming.send"] {
        let said = own.probe(import, "", "").await?;
        ensure!(said.starts_with("400 ") && said.contains("does not stream"), "{import}: {said}");
    }
    // Twenty-one requests came from outside.
    let before = eventually("what was used is written down", Duration::from_secs(10), async || {
        let used = used(&platform, &ann).await?;
        ensure!(used.contains(&("requests_per_month".to_owned(), 21)), "{used:?}");
        Ok(used)
    })
    .await?;

    let secrets = [VALUE, KEY, SERVICE, ann.namespace.as_str(), ann.token.as_str(), "ann"];
    let mut tried = 0;
    for import in imports()? {
        for name in names(&ann) {
            let said = other.probe(&import, &name, "").await?;
            tried += 1;
            // What was asked for may be told back; its own writes are its own.
            let alias = name.rsplit('.').next().unwrap_or_default();
            let escaped = format!("{name:?}");
            let rest = [escaped.trim_matches('"'), name.as_str(), alias]
                .iter()
                .filter(|asked| !asked.is_empty())
                .fold(said.clone(), |said, asked| said.replace(asked, ""));
            let is_own = import.starts_with("store.") && said.contains("of the prober");
            let leaks = |secret: &&str| rest.contains(*secret) && !(is_own && **secret != *VALUE);
            let leaked: Vec<_> = secrets.iter().filter(|secret| leaks(secret)).collect();
            ensure!(leaked.is_empty(), "{import} of {name:?} tells {leaked:?}: {said}");
        }
        // Nor does the way of saying no tell what exists elsewhere.
        for existing in [SERVICE, KEY] {
            if import == "broker.publish" {
                // It tells nothing but that the message was taken.
                ensure!(
                    other.probe(&import, existing, "").await? == other.probe(&import, NOWHERE, "").await?
                );
                continue;
            }
            // Bob's own events are of his topics, and each one differs.
            if import == "store.set" || import == "log.write" || import.starts_with("events.") {
                continue;
            }
            other.probe("store.delete", existing, "").await?;
            other.probe("store.delete", NOWHERE, "").await?;
            let (one, none) =
                (other.probe(&import, existing, "").await?, other.probe(&import, NOWHERE, "").await?);
            ensure!(one.replace(existing, "X") == none.replace(NOWHERE, "X"), "{import}: {one} and {none}");
        }
    }
    ensure!(tried > 300, "{tried} names were tried");
    // Handles count from 1 in each instance: none that it was not given is one.
    for number in ["0", "1", "2", "17", "18446744073709551615"] {
        let said = other.probe("client.handle", number, "").await?;
        ensure!(said.matches("400 ").count() == 3 && !said.contains("Ok"), "handle {number}: {said}");
    }

    // By HTTP, from inside the host: a guest is nobody there.
    for path in ["/vault/call?name=x", "/prober/probe"] {
        let said = other.probe("http", &platform.url(path), &ann.namespace).await?;
        ensure!(said.contains("status: 401") || said.contains("status: 405"), "{path}: {said}");
    }
    let control = format!("http://{}/v1/services", platform.control());
    let said = other.probe("http", &control, &ann.namespace).await?;
    ensure!(said.contains("401") && !said.contains(SERVICE), "{said}");

    // Ann's are as they were, in number and content.
    let after = used(&platform, &ann).await?;
    ensure!(after == before, "the use of one changed by the other: {before:?} {after:?}");
    ensure!(own.probe("store.get", KEY, "").await?.contains(VALUE), "the record");
    for service in ["prober", SERVICE] {
        let log = ann.micro.ok(&["logs", "-n", "1000", service]).await?;
        ensure!(!log.contains("go.micro.srv.planted-key"), "the other's lines: {log}");
    }
    Ok(())
}
