//! What goes wrong between the services elsewhere and their server. What they do is in `host/server/src/registrar/`.

use micro_api::registry::Node;

use super::*;
use crate::redis::server::Server as Process;
use crate::redis::server::prefix;

const LONG: Duration = Duration::from_secs(60);

fn config(url: impl Into<String>) -> ElsewhereConfig {
    let server = RedisConfig { call_timeout: Duration::from_secs(2), ..RedisConfig::new(url) };
    ElsewhereConfig { server, nodes_max: 4 }
}

fn space(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn service(name: &str, ids: &[&str]) -> Service {
    let node = |id: &&str| Node {
        id: (*id).to_owned(),
        address: "legacy.example.com:80".to_owned(),
        ..Node::default()
    };
    Service {
        name: name.to_owned(),
        version: "latest".to_owned(),
        nodes: ids.iter().map(node).collect(),
        ..Service::default()
    }
}

async fn names(one: &Elsewhere) -> Vec<String> {
    let all = one.since(None).await.unwrap().unwrap();
    all.found.into_iter().map(|found| format!("{}/{}", found.namespace, found.service.name)).collect()
}

async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !check().await {
        assert!(tokio::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_rights_suffice_and_nobody_is_heard_without_a_channel() {
    let rights = "resetchannels -@all +ping +info +evalsha +script|load +time +hget +hset +hdel +hkeys +hgetall +hlen \
                  +zadd +zrem +zscore +zcount +zrangebyscore +zrevrange";
    let user = format!(
        "user registry on >secret ~micro:registry:* {rights} &micro:registry:changes +publish +subscribe"
    );
    let deaf = format!("user deaf on >secret ~micro:registry:* {rights}");
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    std::fs::write(&users, format!("user default on >other ~* &* +@all\n{user}\n{deaf}\n")).unwrap();
    let Some(process) = Process::start(&["--aclfile", &users.display().to_string()]) else { return };
    for user in ["registry", "deaf"] {
        let config = config(format!("redis://{user}:secret@{}", process.address()));
        assert!(!format!("{config:?}").contains("secret"));
        let (one, other) = (Elsewhere::open(&config).await.unwrap(), Elsewhere::open(&config).await.unwrap());
        one.register(&space("a"), &service("legacy", &["x", "y"]), Some(LONG)).await.unwrap();
        assert_eq!(names(&other).await, ["a/legacy"]);
        assert_eq!(other.deregister(&space("a"), "legacy", "latest", &["x".to_owned()]).await.unwrap(), 1);
        one.sweep().await.unwrap();
        assert_eq!(one.deregister(&space("a"), "legacy", "latest", &[]).await.unwrap(), 1);
        assert_eq!(names(&other).await, [""; 0]);
        one.check().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_and_one_that_did_is_believed() {
    let Some(mut process) = Process::start(&[]) else { return };
    let one = Elsewhere::open(&config(process.url())).await.unwrap();
    one.register(&space("a"), &service("legacy", &["x"]), None).await.unwrap();
    one.register(&space("b"), &service("legacy", &["x"]), None).await.unwrap();
    assert_eq!(names(&one).await, ["a/legacy", "b/legacy"]);
    process.kill();
    let away = one.since(None).await.unwrap_err();
    assert!(matches!(away, ElsewhereError::Away(_)), "{away:?}");
    assert_eq!(micro_api::Error::from(away).code, 503);
    process.restart();
    eventually("it is back", async || one.since(None).await.is_ok()).await;
    assert_eq!(names(&one).await, ["a/legacy", "b/legacy"]);
    // As after a failover to a replica that had less.
    let keys = ["nodes", "ends", "shared"].map(|what| format!("micro:registry:{{b}}:{what}"));
    let mut lose = ::redis::cmd("DEL");
    lose.arg(&keys).arg("micro:registry:spaces");
    one.server.retried::<i64>(&Call::plain(lose)).await.unwrap();
    one.register(&space("c"), &service("legacy", &["x"]), None).await.unwrap();
    one.bell.anew.fetch_add(1, Ordering::SeqCst);
    assert_eq!(names(&one).await, ["c/legacy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_lets_go_of_nodes() {
    let Some(process) = Process::start(&[]) else { return };
    let one = Elsewhere::open(&config(process.url())).await.unwrap();
    one.register(&space("a"), &service("legacy", &["x"]), None).await.unwrap();
    let mut fill = ::redis::cmd("CONFIG");
    fill.arg("SET").arg("maxmemory").arg("1mb");
    one.server.retried::<String>(&Call::plain(fill)).await.unwrap();
    let full = one.register(&space("a"), &service("other", &["x"]), None).await.unwrap_err();
    assert_eq!((full.clone(), micro_api::Error::from(full).code), (ElsewhereError::Memory, 507));
    assert_eq!(names(&one).await, ["a/legacy"]);
    assert_eq!(one.deregister(&space("a"), "legacy", "latest", &[]).await.unwrap(), 1);
    assert_eq!(names(&one).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_wakes_who_follows_and_what_has_ended_goes() {
    let Some(process) = Process::start(&[]) else { return };
    let mut config = config(process.url());
    config.server.prefix = prefix();
    let (one, other) = (Elsewhere::open(&config).await.unwrap(), Elsewhere::open(&config).await.unwrap());
    // It listens from some moment on.
    eventually("a change is heard", async || {
        one.register(&space("a"), &service("legacy", &["x"]), None).await.unwrap();
        one.deregister(&space("a"), "legacy", "latest", &[]).await.unwrap();
        tokio::time::timeout(Duration::from_millis(100), other.rung()).await.is_ok()
    })
    .await;
    one.register(&space("b"), &service("brief", &["x"]), Some(Duration::from_millis(1))).await.unwrap();
    eventually("it ends", async || names(&other).await.is_empty()).await;
    one.sweep().await.unwrap();
    let mut left = ::redis::cmd("HLEN");
    left.arg(format!("{}:registry:{{b}}:nodes", config.server.prefix));
    assert_eq!(one.server.retried::<i64>(&Call::plain(left)).await.unwrap(), 0);
}
