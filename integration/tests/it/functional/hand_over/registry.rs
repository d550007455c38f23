//! The registry of two nodes with `--registry redis`: what is deployed or registered at one is looked up, watched and
//! called at the other, and a node that is killed leaves nothing of itself behind.

use micro_api::registry::{Action, Service};
use micro_client::{Client, Watcher};
use micro_integration::tenant::Tenant;

use super::*;
use crate::functional::external::Elsewhere;

const TTL: Duration = Duration::from_secs(3);
const CALL: &str = "/helloworld/call?name=Jane";

/// Two nodes, and somebody who is known to both.
struct Pair {
    first: Platform,
    second: Platform,
    ann: Tenant,
    /// Ann's command line against the second node.
    there: Micro,
}

impl Pair {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let address = format!("--registry_address={}", cluster.redis);
        let prefix = format!("--registry_prefix={}", cluster.prefix);
        let flags = ["--registry=redis", &address, &prefix, "--allow_loopback"];
        let first = Platform::start_with(cluster.node(true, &flags)).await?;
        let second = [&flags[..], &["--no_builder"]].concat();
        let second = Platform::start_with(cluster.node(true, &second)).await?;
        for node in [&first, &second] {
            let ready = http::client()?.get(format!("http://{}/readyz", node.health())).send().await?;
            let checks: Value = ready.json().await?;
            let is_registry = |check: &&Value| check["name"] == "registry";
            let registry = checks.as_array().and_then(|checks| checks.iter().find(is_registry));
            ensure!(registry.is_some_and(|registry| registry["ok"] == true), "{checks}");
        }
        let ann = Tenant::sign_up(&first, "ann").await?;
        let there = ann.micro.with_env("MICRO_PLATFORM_ADDRESS", &second.control().to_string());
        Ok(Self { first, second, ann, there })
    }

    /// Follows `helloworld` at the second node.
    fn watch(&self) -> Result<Watch> {
        let client = Client::new(self.second.control().to_string().parse()?)?;
        let client = client.with_credential(&self.ann.token).context("a credential")?;
        Ok(Watch(Watcher::new(&client, Some("helloworld".parse()?))))
    }

    async fn call(&self, node: &Platform) -> Result<http::Answer> {
        self.ann.called_with(node, &self.ann.token, CALL).await
    }

    async fn is_gone(&self, node: &Platform) -> Result<()> {
        eventually("the service is gone", WITHIN, async || {
            let answer = self.call(node).await?;
            ensure!(answer.status == 404, "{answer:?}");
            Ok(())
        })
        .await?;
        let told = if std::ptr::eq(node, &self.first) { &self.ann.micro } else { &self.there };
        let told = told.fails(&["get", "service", "helloworld"]).await?;
        ensure!(told.contains("not found"), "{told}");
        Ok(())
    }
}

struct Watch(Watcher);

impl Watch {
    /// The service of the next change, which is of this kind.
    async fn hears(&mut self, wanted: Action) -> Result<Service> {
        let change = tokio::time::timeout(WITHIN, self.0.next()).await;
        let change = change.with_context(|| format!("no {wanted:?} is told"))??;
        ensure!(change.action == wanted, "{change:?}");
        change.service.context("a service")
    }
}

fn addresses(service: &Service) -> Vec<&str> {
    service.nodes.iter().map(|node| node.address.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_one_node_is_in_the_registry_of_the_other_and_a_killed_node_in_none() -> Result<()> {
    let Some(cluster) = Cluster::create()? else { return Ok(()) };
    let mut pair = Pair::start(&cluster).await?;
    let (here, there) = (pair.first.api().to_string(), pair.second.api().to_string());
    let folder = pair.first.scratch().join("helloworld");
    let source = folder.display().to_string();
    Guest::Example("helloworld").place(&folder, "[service]\nname = \"helloworld\"\n")?;
    pair.ann.micro.ok(&["run", &source]).await?;

    let mut watch = pair.watch()?;
    let created = watch.hears(Action::Create).await?;
    // Each node calls its own.
    ensure!(addresses(&created) == [there.as_str()], "{created:?}");
    ensure!(pair.there.ok(&["list", "services"]).await?.lines().any(|name| name == "helloworld"));
    for (micro, own, other) in [(&pair.ann.micro, &here, &there), (&pair.there, &there, &here)] {
        let record = micro.ok(&["get", "service", "helloworld"]).await?;
        ensure!(record.contains(own) && !record.contains(other), "{record}");
        ensure!(record.contains("Endpoint: Helloworld.Call"), "{record}");
    }
    let called = pair.call(&pair.second).await?;
    ensure!(called.status == 200 && called.body.contains("Hello Jane"), "{called:?}");

    let changed = "[service]\nname = \"helloworld\"\n[limits]\nwall = \"4s\"\n";
    Guest::Example("helloworld").place(&folder, changed)?;
    pair.ann.micro.ok(&["update", &source]).await?;
    let updated = watch.hears(Action::Update).await?;
    ensure!(addresses(&updated) == [there.as_str()] && updated.nodes != created.nodes, "{updated:?}");

    // What the killed node had deployed is the other one's, and the other one alone has it.
    pair.first.kill()?;
    let record = pair.there.ok(&["get", "service", "helloworld"]).await?;
    ensure!(record.contains(&there) && !record.contains(&here), "{record}");
    let called = pair.call(&pair.second).await?;
    ensure!(called.status == 200 && called.body.contains("Hello Jane"), "{called:?}");
    pair.there.ok(&["kill", "helloworld"]).await?;
    watch.hears(Action::Delete).await?;
    pair.is_gone(&pair.second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_elsewhere_is_called_from_both_nodes_and_outlives_its_registrar() -> Result<()> {
    let Some(cluster) = Cluster::create()? else { return Ok(()) };
    let mut pair = Pair::start(&cluster).await?;
    let elsewhere = Elsewhere::start("afar").await?;
    let ttl = TTL.as_secs().to_string();
    let definition = elsewhere.definition("far-1");
    let mut watch = pair.watch()?;

    let (register, deregister) =
        (["register", "service", &definition], ["deregister", "service", &definition]);
    pair.ann.micro.ok(&register).await?;
    let created = watch.hears(Action::Create).await?;
    ensure!(addresses(&created) == [elsewhere.address.to_string()], "{created:?}");
    for node in [&pair.first, &pair.second] {
        let called = pair.call(node).await?;
        ensure!(called.status == 200 && called.body.contains("hello from afar"), "{called:?}");
    }
    let mut other: Value = serde_json::from_str(&definition)?;
    other["metadata"] = json!({"mark": "two"});
    pair.ann.micro.ok(&["register", "service", &other.to_string()]).await?;
    let updated = watch.hears(Action::Update).await?;
    ensure!(updated.metadata.get("mark").is_some_and(|mark| mark == "two"), "{updated:?}");
    // It does not matter at which node it is forgotten.
    pair.there.ok(&deregister).await?;
    watch.hears(Action::Delete).await?;
    pair.is_gone(&pair.first).await?;
    pair.is_gone(&pair.second).await?;

    // Its time ends for both.
    let since = Instant::now();
    pair.ann.micro.ok(&["register", "service", "--ttl", &ttl, &definition]).await?;
    watch.hears(Action::Create).await?;
    watch.hears(Action::Delete).await?;
    ensure!(since.elapsed() >= TTL, "gone after {:?}", since.elapsed());
    pair.is_gone(&pair.first).await?;
    pair.is_gone(&pair.second).await?;

    // A node that is killed takes nothing along that has no end, and keeps nothing alive that has one.
    pair.ann.micro.ok(&register).await?;
    watch.hears(Action::Create).await?;
    let since = Instant::now();
    pair.ann.micro.ok(&["register", "service", "--ttl", &ttl, &elsewhere.definition("mortal")]).await?;
    let both = watch.hears(Action::Update).await?;
    ensure!(both.nodes.len() == 2, "{both:?}");
    pair.first.kill()?;
    let left = watch.hears(Action::Update).await?;
    ensure!(since.elapsed() >= TTL, "gone after {:?}", since.elapsed());
    ensure!(left.nodes.len() == 1 && left.nodes.iter().all(|node| node.id == "far-1"), "{left:?}");
    let called = pair.call(&pair.second).await?;
    ensure!(called.status == 200 && called.body.contains("hello from afar"), "{called:?}");
    Ok(())
}
