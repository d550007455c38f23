//! What every place for registrations does. Runs on SQLite always, on PostgreSQL and Redis where `MICRO_TEST_POSTGRES` and
//! `MICRO_TEST_REDIS` name one.

mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use micro_api::Namespace;
use micro_api::registry::{Action, Node, Service};
use micro_capability::registry::{ElsewhereConfig, Log};
use micro_control::{Elsewhere, Registered};
use micro_db::Db;
use micro_db::external::NODES_MAX;
use tokio::time::Instant;

use super::Registrar;
use line::Line;

const PATIENCE: Duration = Duration::from_secs(30);

/// A fresh place of one kind, which several nodes may open.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(url::Url),
    Redis(url::Url, String),
}

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
            Self::Redis(..) => "Redis",
        }
    }

    /// A new database on the server.
    fn postgres(server: &str) -> Self {
        let name = format!("registrar_{}", uuid::Uuid::new_v4().simple());
        let mut psql = Command::new("psql");
        psql.args(["--quiet", "--no-psqlrc", "--command", &format!("CREATE DATABASE {name}"), server]);
        assert!(psql.status().unwrap().success());
        let mut url: url::Url = server.parse().unwrap();
        url.set_path(&name);
        Self::Postgres(url)
    }

    /// Where its server is; none: it has none.
    fn server(&self) -> Option<String> {
        let (Self::Postgres(url) | Self::Redis(url, _)) = self else { return None };
        let default = if matches!(self, Self::Postgres(_)) { 5432 } else { 6379 };
        Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(default)))
    }

    /// As one more node has it, through `line` where there is one.
    async fn open(&self, line: Option<SocketAddr>) -> Arc<dyn Elsewhere> {
        let through = |url: &url::Url| {
            let mut url = url.clone();
            if let Some(line) = line {
                url.set_ip_host(line.ip()).unwrap();
                url.set_port(Some(line.port())).unwrap();
            }
            url.to_string()
        };
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("control.db").display()),
            Self::Postgres(url) => through(url),
            Self::Redis(url, prefix) => {
                let server = micro_capability::RedisConfig {
                    prefix: prefix.clone(),
                    ..micro_capability::RedisConfig::new(through(url))
                };
                let config = ElsewhereConfig { server, nodes_max: NODES_MAX };
                let opened = micro_capability::registry::Elsewhere::open(&config).await.unwrap();
                return Arc::new(Registrar(opened));
            }
        };
        let db = Db::connect(&url).await.unwrap();
        db.migrate().await.unwrap();
        Arc::new(db)
    }
}

/// Runs a check on each place.
fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<Place>) -> F) {
    let mut places = vec![Place::Sqlite(tempfile::tempdir().unwrap())];
    places.extend(std::env::var("MICRO_TEST_POSTGRES").ok().map(|server| Place::postgres(&server)));
    places.extend(std::env::var("MICRO_TEST_REDIS").ok().map(|server| {
        let prefix = format!("t{}", uuid::Uuid::new_v4().simple());
        Place::Redis(server.parse().unwrap(), prefix)
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    for place in places {
        let name = place.name();
        runtime.block_on(check(Arc::new(place)));
        ran(name);
    }
}

/// Notes that this test ran on a backend, for the matrix that `cargo xtask test` prints.
fn ran(backend: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("MICRO_TEST_MATRIX") else { return };
    let thread = std::thread::current();
    let line = format!("registry\t{backend}\t{}\n", thread.name().unwrap_or_default());
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn space(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn service(name: &str, nodes: &[(&str, &str)]) -> Service {
    let node = |(id, address): &(&str, &str)| Node {
        id: (*id).to_owned(),
        address: (*address).to_owned(),
        metadata: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
    };
    Service {
        name: name.to_owned(),
        version: "latest".to_owned(),
        nodes: nodes.iter().map(node).collect(),
        ..Service::default()
    }
}

async fn all(one: &dyn Elsewhere) -> Registered {
    one.since(None).await.unwrap().expect("all is asked for")
}

/// Namespace, name and number of nodes of each.
async fn seen(one: &dyn Elsewhere) -> Vec<(String, String, usize)> {
    let found = all(one).await.externals.into_iter();
    let row =
        |one: micro_db::External| (one.namespace.to_string(), one.service.name, one.service.nodes.len());
    found.map(row).collect()
}

fn row(namespace: &str, name: &str, nodes: usize) -> (String, String, usize) {
    (namespace.to_owned(), name.to_owned(), nodes)
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn nodes_are_added_replaced_and_removed() {
    on_each(async |place: Arc<Place>| {
        let (one, other) = (place.open(None).await, place.open(None).await);
        let own = space("a");
        let first = service("legacy", &[("a", "one.example.com:80"), ("b", "two.example.com:80")]);
        one.register(&own, &first, None).await.unwrap();
        let found = all(&*other).await.externals;
        assert_eq!((&found[0].namespace, &found[0].service, found[0].left_ms), (&own, &first, None));
        let mut moved = service("legacy", &[("b", "three.example.com:80")]);
        moved.metadata.insert("owner".to_owned(), "ops".to_owned());
        other.register(&own, &moved, None).await.unwrap();
        let found = all(&*one).await.externals;
        assert_eq!((found.len(), found[0].service.nodes.len()), (1, 2));
        assert_eq!(found[0].service.nodes[1].address, "three.example.com:80");
        assert_eq!(found[0].service.metadata["owner"], "ops");
        assert_eq!(one.deregister(&space("b"), "legacy", "latest", &[]).await.unwrap(), 0);
        assert_eq!(one.deregister(&own, "legacy", "v2", &[]).await.unwrap(), 0);
        assert_eq!(one.deregister(&own, "legacy", "latest", &["a".to_owned()]).await.unwrap(), 1);
        assert_eq!(seen(&*other).await, [row("a", "legacy", 1)]);
        assert_eq!(other.deregister(&own, "legacy", "latest", &[]).await.unwrap(), 1);
        assert_eq!(seen(&*one).await, []);
        for node in [&one, &other] {
            node.sweep().await.unwrap();
            node.check().await.unwrap();
        }
    });
}

#[test]
fn only_news_is_told() {
    on_each(async |place: Arc<Place>| {
        let (one, other) = (place.open(None).await, place.open(None).await);
        let legacy = service("legacy", &[("a", "one.example.com:80")]);
        one.register(&space("a"), &legacy, Some(Duration::from_secs(60))).await.unwrap();
        let first = all(&*other).await;
        assert_eq!(other.since(Some(first.revision)).await.unwrap(), None);
        // A heartbeat.
        one.register(&space("a"), &legacy, Some(Duration::from_secs(600))).await.unwrap();
        assert_eq!(other.since(Some(first.revision)).await.unwrap(), None);
        // One that ends earlier than was said has to be known.
        one.register(&space("a"), &legacy, Some(Duration::from_secs(30))).await.unwrap();
        let first = other.since(Some(first.revision)).await.unwrap().expect("it is news");
        assert!(first.externals[0].left_ms.is_some_and(|left| left <= 30_000), "{first:?}");
        one.register(&space("b"), &legacy, None).await.unwrap();
        let second = other.since(Some(first.revision)).await.unwrap().expect("it is news");
        assert_eq!((second.externals.len(), second.revision > first.revision), (2, true));
        one.deregister(&space("a"), "legacy", "latest", &[]).await.unwrap();
        let third = other.since(Some(second.revision)).await.unwrap().expect("it is news");
        assert_eq!(third.externals[0].namespace, space("b"));
    });
}

#[test]
fn a_node_that_is_not_registered_again_ends() {
    on_each(async |place: Arc<Place>| {
        let (one, other) = (place.open(None).await, place.open(None).await);
        let own = space("a");
        let ttl = |ms| Some(Duration::from_millis(ms));
        let node = [("a", "a.example.com:80")];
        one.register(&own, &service("young", &node), ttl(600_000)).await.unwrap();
        one.register(&own, &service("mixed", &node), None).await.unwrap();
        one.register(&own, &service("mixed", &[("b", "b.example.com:80")]), ttl(300_000)).await.unwrap();
        one.register(&own, &service("brief", &node), ttl(1_000)).await.unwrap();
        let found = all(&*other).await.externals;
        let mixed = found.iter().find(|found| found.service.name == "mixed").unwrap();
        assert!(mixed.left_ms.is_some_and(|left| left > 200_000 && left <= 300_000), "{mixed:?}");
        let left = [row("a", "mixed", 2), row("a", "young", 1)];
        eventually("it ends", async || seen(&*other).await == left).await;
        // One that comes again after its end is news.
        let before = all(&*other).await;
        one.register(&own, &service("brief", &node), ttl(600_000)).await.unwrap();
        let news = other.since(Some(before.revision)).await.unwrap().expect("it is there again");
        assert_eq!(news.externals.len(), 3);
        one.sweep().await.unwrap();
        assert_eq!(all(&*one).await.externals.len(), 3);
    });
}

#[test]
fn a_namespace_has_so_many_nodes() {
    on_each(async |place: Arc<Place>| {
        let one = place.open(None).await;
        let own = space("a");
        let names: Vec<String> = (0..=NODES_MAX).map(|n| format!("n{n}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), "a.example.com:80")).collect();
        let full = one.register(&own, &service("many", &nodes), None).await.unwrap_err();
        assert_eq!(full.code, 403);
        assert!(full.detail.contains("nodes of services elsewhere: there may be 256"), "{full}");
        assert_eq!(seen(&*one).await, [], "nothing of it was written");
        let (_, fitting) = nodes.split_last().unwrap();
        one.register(&own, &service("many", fitting), None).await.unwrap();
        one.register(&own, &service("many", fitting), None).await.unwrap();
        one.register(&space("b"), &service("one", &nodes[..1]), None).await.unwrap();
        assert_eq!(one.register(&own, &service("one", &nodes[..1]), None).await.unwrap_err().code, 403);
        one.deregister(&own, "many", "latest", &[names[0].clone()]).await.unwrap();
        one.register(&own, &service("one", &nodes[..1]), None).await.unwrap();
    });
}

#[test]
fn no_name_reaches_anothers_node() {
    on_each(async |place: Arc<Place>| {
        let one = place.open(None).await;
        let hostile = ["a", "a:b", "{b}", "*", "a b", "%0a", "é", "latest", "'; --", "a\u{200b}"];
        let mut wanted = BTreeSet::new();
        for namespace in ["a", "b", "a-b"] {
            for name in ["legacy", "a", "a-legacy"] {
                for version in ["latest", "v1", "a/b", "a+b"] {
                    let nodes: Vec<_> = hostile.iter().map(|id| (*id, "x.example.com:80")).collect();
                    let service = Service { version: version.to_owned(), ..service(name, &nodes[..2]) };
                    one.register(&space(namespace), &service, None).await.unwrap();
                    wanted.insert((namespace.to_owned(), name.to_owned(), version.to_owned()));
                }
            }
            let nodes: Vec<_> = hostile.iter().map(|id| (*id, "x.example.com:80")).collect();
            one.register(&space(namespace), &service("hostile", &nodes), None).await.unwrap();
        }
        for id in ["a\nb", "latest\na", "", "a\n"] {
            assert_eq!(
                one.deregister(&space("a"), "a", "latest", &[id.to_owned()]).await.unwrap(),
                0,
                "{id:?}"
            );
        }
        for id in hostile {
            let removed = one.deregister(&space("a"), "hostile", "latest", &[id.to_owned()]).await;
            assert_eq!(removed.unwrap(), 1, "{id}");
        }
        let found = all(&*one).await.externals;
        let hostile_left: Vec<_> = found
            .iter()
            .filter(|found| found.service.name == "hostile")
            .map(|found| &found.namespace)
            .collect();
        assert_eq!(hostile_left, [&space("a-b"), &space("b")]);
        let key = |found: &micro_db::External| {
            (found.namespace.to_string(), found.service.name.clone(), found.service.version.clone())
        };
        let left: BTreeSet<_> = found.iter().map(key).filter(|(_, name, _)| name != "hostile").collect();
        assert_eq!(left, wanted);
    });
}

#[test]
fn of_many_at_once_none_is_lost() {
    on_each(async |place: Arc<Place>| {
        let nodes = [place.open(None).await, place.open(None).await];
        let registering = (0..64).map(|n| {
            let node = Arc::clone(&nodes[n % 2]);
            async move {
                let id = format!("n{n}");
                let service = service(&format!("s{}", n % 4), &[(id.as_str(), "x.example.com:80")]);
                node.register(&space(["a", "b"][n / 32]), &service, None).await.unwrap();
            }
        });
        futures::future::join_all(registering).await;
        let wanted: Vec<_> =
            ["a", "b"].iter().flat_map(|space| (0..4).map(|n| row(space, &format!("s{n}"), 8))).collect();
        for node in &nodes {
            assert_eq!(seen(&**node).await, wanted);
        }
    });
}

/// Follows as a node does, and counts what a watcher of the registry is told.
struct Follower {
    elsewhere: Arc<dyn Elsewhere>,
    log: Log,
    revision: Option<i64>,
    places: BTreeMap<Namespace, String>,
    told: BTreeMap<&'static str, usize>,
}

impl Follower {
    async fn step(&mut self) {
        // The connection may just be cut.
        let Ok(Some(found)) = self.elsewhere.since(self.revision).await else { return };
        self.revision = Some(found.revision);
        let key = |one: micro_db::External| {
            let key = (one.namespace, one.service.name.clone(), one.service.version.clone());
            (key, Arc::new(one.service))
        };
        self.log.follow(|| found.externals.into_iter().map(key).collect());
        for (namespace, place) in &mut self.places {
            loop {
                let changes = self.log.changes(namespace, None, Some(place.as_str()));
                assert!(!changes.reset, "the log reaches back");
                *place = changes.revision;
                if changes.changes.is_empty() {
                    break;
                }
                for change in changes.changes {
                    let action = match change.action {
                        Action::Create => "create",
                        Action::Update => "update",
                        Action::Delete => "delete",
                        other => panic!("{other:?}"),
                    };
                    *self.told.entry(action).or_default() += 1;
                }
            }
        }
    }

    async fn until(&mut self, action: &str, count: usize) {
        let until = Instant::now() + PATIENCE * 2;
        while self.told.get(action).copied().unwrap_or_default() < count {
            assert!(Instant::now() < until, "{count} {action}: {:?}", self.told);
            self.step().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Of 1 000 changes: 600 that come, 200 that move, 200 that go.
#[test]
fn a_cut_connection_misses_no_change() {
    on_each(async |place: Arc<Place>| {
        let writer = place.open(None).await;
        let line = match place.server() {
            Some(server) => Some(Arc::new(Line::to(server).await)),
            None => None,
        };
        let elsewhere = place.open(line.as_ref().map(|line| line.address)).await;
        let spaces: Vec<_> = ["a", "b", "c", "d", "e"].map(space).to_vec();
        let log = Log::new(Vec::new());
        let start = |namespace: &Namespace| (namespace.clone(), log.changes(namespace, None, None).revision);
        let places = spaces.iter().map(start).collect();
        let mut follower = Follower { elsewhere, log, revision: None, places, told: BTreeMap::new() };
        for (action, count) in [("create", 600), ("update", 200), ("delete", 200)] {
            let (writer, line, spaces) = (Arc::clone(&writer), line.clone(), spaces.clone());
            let write = async move {
                for n in 0..count {
                    let (namespace, name) = (&spaces[n % 5], format!("s{n}"));
                    let address = format!("{action}.example.com:80");
                    if action == "delete" {
                        writer.deregister(namespace, &name, "latest", &[]).await.unwrap();
                    } else {
                        let service = service(&name, &[("n", &address)]);
                        writer.register(namespace, &service, None).await.unwrap();
                    }
                    if let Some(line) = line.as_ref().filter(|_| n % 20 == 0) {
                        line.cut();
                    }
                }
            };
            let ((), ()) = tokio::join!(write, follower.until(action, count));
        }
        assert_eq!(follower.told, BTreeMap::from([("create", 600), ("update", 200), ("delete", 200)]));
    });
}
