//! What can be looked up: the services that run, and the platform's own.
//!
//! A copy beside the routing snapshot, replaced with it: guests and the control API read it without a database.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use micro_api::registry::{Changes, Node, Service};
use micro_api::{Namespace, ServiceName};
use micro_capability::registry::Log;
use micro_control::ActiveRevision;
use micro_runtime::Revision;

/// Services of the platform itself, by Micro's short names: those that this version has.
const CORE: [&str; 7] = ["api", "debug", "proxy", "registry", "runtime", "server", "store"];

/// One running version, for the registry.
pub(crate) struct Record {
    namespace: Namespace,
    name: ServiceName,
    service: Arc<Service>,
}

/// The registry record of a version on this node.
pub(crate) fn record(active: &ActiveRevision, revision: &Revision, id: &str, address: &str) -> Record {
    let manifest = revision.manifest();
    let metadata = micro_gateway::node_metadata(revision);
    let node = Node { id: id.to_owned(), address: address.to_owned(), metadata };
    let service = Service {
        name: active.service.to_string(),
        version: active.version.clone(),
        metadata: BTreeMap::new(),
        endpoints: manifest.endpoints.clone(),
        nodes: vec![node],
    };
    Record { namespace: active.namespace.clone(), name: active.service.clone(), service: Arc::new(service) }
}

/// The registry record of a version that runs elsewhere.
pub(crate) fn elsewhere(namespace: &Namespace, name: &ServiceName, service: &Service) -> Record {
    let mut service = service.clone();
    for node in &mut service.nodes {
        node.metadata.insert("runtime".to_owned(), "external".to_owned());
    }
    Record { namespace: namespace.clone(), name: name.clone(), service: Arc::new(service) }
}

/// The registry of this node.
pub(crate) struct Directory {
    records: ArcSwap<Vec<Record>>,
    /// Of services that run elsewhere.
    elsewhere: ArcSwap<Vec<Record>>,
    /// Records of the platform's own services.
    core: Vec<Arc<Service>>,
    /// How it came to be so, for those who follow it.
    log: Arc<Log>,
}

impl Directory {
    /// `address` is where the platform's own services are reached.
    pub(crate) fn new(version: &str, address: &str) -> Arc<Self> {
        let core = CORE.map(|name| Service {
            name: name.to_owned(),
            version: version.to_owned(),
            nodes: vec![Node {
                id: format!("{name}-{}", uuid::Uuid::new_v4()),
                address: address.to_owned(),
                metadata: BTreeMap::from([("runtime".to_owned(), "host".to_owned())]),
            }],
            ..Service::default()
        });
        Arc::new(Self {
            records: ArcSwap::default(),
            elsewhere: ArcSwap::default(),
            log: Arc::new(Log::new(core.to_vec())),
            core: core.into_iter().map(Arc::new).collect(),
        })
    }

    pub(crate) fn replace(&self, records: Vec<Record>) {
        self.records.store(Arc::new(sorted(records)));
        self.tell();
    }

    pub(crate) fn replace_elsewhere(&self, records: Vec<Record>) {
        self.elsewhere.store(Arc::new(sorted(records)));
        self.tell();
    }

    /// Tells the log what is there now: of one version here and elsewhere, what runs here.
    fn tell(&self) {
        self.log.follow(|| {
            let (records, elsewhere) = (self.records.load(), self.elsewhere.load());
            let all = elsewhere.iter().chain(records.iter()).map(|record| {
                let service = &record.service;
                let key = (record.namespace.clone(), service.name.clone(), service.version.clone());
                (key, Arc::clone(service))
            });
            all.collect()
        });
    }

    /// How what can be looked up came to be so.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Names that a namespace sees: its own services and the platform's.
    pub(crate) fn names(&self, namespace: &Namespace) -> Vec<String> {
        let (records, elsewhere) = (self.records.load(), self.elsewhere.load());
        let own = of(&records, namespace).iter().chain(of(&elsewhere, namespace));
        let names: BTreeSet<_> =
            own.map(|record| record.service.name.clone()).chain(CORE.map(str::to_owned)).collect();
        names.into_iter().collect()
    }

    /// One record a version; a service of the namespace hides one of the platform with its name.
    pub(crate) fn records(&self, namespace: &Namespace, name: &ServiceName) -> Vec<Arc<Service>> {
        let (records, elsewhere) = (self.records.load(), self.elsewhere.load());
        let own = named(&records, namespace, name).iter().chain(named(&elsewhere, namespace, name));
        let mut own: Vec<_> = own.map(|record| Arc::clone(&record.service)).collect();
        // Stable: of one version here and elsewhere, what runs here answers.
        own.sort_by(|a, b| a.version.cmp(&b.version));
        own.dedup_by(|second, first| second.version == first.version);
        if !own.is_empty() {
            return own;
        }
        let short = name.to_string();
        self.core.iter().filter(|service| service.name == short).cloned().collect()
    }
}

impl Record {
    fn key(&self) -> (&Namespace, &ServiceName) {
        (&self.namespace, &self.name)
    }
}

/// By namespace, name and version.
fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by(|a, b| (a.key(), &a.service.version).cmp(&(b.key(), &b.service.version)));
    records
}

/// Those of a namespace, among sorted records.
fn of<'a>(records: &'a [Record], namespace: &Namespace) -> &'a [Record] {
    between(records, |record| record.namespace.cmp(namespace))
}

/// The versions of a service, among sorted records.
fn named<'a>(records: &'a [Record], namespace: &Namespace, name: &ServiceName) -> &'a [Record] {
    between(records, |record| record.key().cmp(&(namespace, name)))
}

/// The records that are equal to what is looked for.
fn between(records: &[Record], is: impl Fn(&Record) -> Ordering) -> &[Record] {
    let from = records.partition_point(|record| is(record).is_lt());
    let to = records.partition_point(|record| is(record).is_le());
    records.get(from..to).unwrap_or_default()
}

#[async_trait]
impl micro_capability::registry::Directory for Directory {
    async fn get(&self, namespace: &Namespace, service: &ServiceName) -> Vec<Arc<Service>> {
        self.records(namespace, service)
    }

    async fn list(&self, namespace: &Namespace) -> Vec<String> {
        self.names(namespace)
    }

    async fn watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        wait: Duration,
    ) -> Changes {
        self.log.watch(namespace, service, after, wait).await
    }
}

#[cfg(test)]
mod tests {
    use micro_api::registry::Action;

    use super::*;

    fn running(namespace: &str, name: &str, version: &str) -> Record {
        let name: ServiceName = name.parse().unwrap();
        let service = Service { name: name.to_string(), version: version.to_owned(), ..Service::default() };
        Record { namespace: namespace.parse().unwrap(), name, service: Arc::new(service) }
    }

    #[test]
    fn what_runs_here_answers_before_what_runs_elsewhere() {
        let directory = Directory::new("0.1.0", "127.0.0.1:8080");
        let (a, b): (Namespace, Namespace) = ("a".parse().unwrap(), "b".parse().unwrap());
        let greeter: ServiceName = "greeter".parse().unwrap();
        let far = |version: &str| Service {
            name: "greeter".to_owned(),
            version: version.to_owned(),
            nodes: vec![Node { id: "far".to_owned(), ..Node::default() }],
            ..Service::default()
        };
        directory.replace(vec![running("a", "greeter", "latest")]);
        directory.replace_elsewhere(vec![
            elsewhere(&a, &greeter, &far("latest")),
            elsewhere(&a, &greeter, &far("v0")),
        ]);
        let found = directory.records(&a, &greeter);
        let nodes: Vec<_> = found.iter().map(|one| (one.version.as_str(), one.nodes.len())).collect();
        assert_eq!(nodes, [("latest", 0), ("v0", 1)]);
        assert_eq!(found[1].nodes[0].metadata["runtime"], "external");
        assert!(directory.records(&b, &greeter).is_empty());
        assert!(!directory.names(&b).contains(&"greeter".to_owned()));
    }

    #[test]
    fn of_many_services_the_one_that_is_asked_for_is_found() {
        let directory = Directory::new("0.1.0", "127.0.0.1:8080");
        let (namespaces, names) = (["a", "aa", "ab", "b"], ["greet", "greeter", "greeters", "hello"]);
        let all = || namespaces.iter().flat_map(|space| names.iter().map(move |name| (*space, *name)));
        let versions = |(space, name)| ["v2", "latest"].map(|version| running(space, name, version));
        directory.replace(all().rev().filter(|key| *key != ("ab", "greeter")).flat_map(versions).collect());
        for (space, name) in all() {
            let found = directory.records(&space.parse().unwrap(), &name.parse().unwrap());
            let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
            let missing = (space, name) == ("ab", "greeter");
            let expected = if missing { vec![] } else { vec![(name, "latest"), (name, "v2")] };
            assert_eq!(found, expected, "{space}/{name}");
        }
        let seen = directory.names(&"ab".parse().unwrap());
        let own: Vec<_> = seen.iter().filter(|name| names.contains(&name.as_str())).collect();
        assert_eq!(own, ["greet", "greeters", "hello"]);
        assert_eq!(directory.names(&"ac".parse().unwrap()).len(), CORE.len());
    }

    #[test]
    fn a_watcher_is_told_what_a_look_up_finds() {
        let directory = Directory::new("0.1.0", "127.0.0.1:8080");
        let a: Namespace = "a".parse().unwrap();
        let greeter: ServiceName = "greeter".parse().unwrap();
        let first = directory.log.changes(&a, None, None);
        assert_eq!(first.changes.len(), CORE.len());
        let far = Service { name: "greeter".to_owned(), version: "latest".to_owned(), ..Service::default() };
        let far = Service { nodes: vec![Node { id: "far".to_owned(), ..Node::default() }], ..far };
        directory.replace_elsewhere(vec![elsewhere(&a, &greeter, &far)]);
        directory.replace(vec![running("a", "greeter", "latest"), running("b", "secret", "latest")]);
        directory.replace_elsewhere(Vec::new());
        directory.replace(Vec::new());
        let told = directory.log.changes(&a, None, Some(&first.revision));
        let told: Vec<_> = told
            .changes
            .into_iter()
            .map(|change| (change.action, change.service.unwrap()))
            .map(|(action, service)| (action, service.name, service.nodes.len()))
            .collect();
        let of = |action: Action, nodes: usize| (action, "greeter".to_owned(), nodes);
        assert_eq!(told, [of(Action::Create, 1), of(Action::Update, 0), of(Action::Delete, 0)]);
    }

    #[test]
    fn a_namespace_sees_its_own_services_and_the_platforms() {
        let directory = Directory::new("0.1.0", "127.0.0.1:8080");
        directory.replace(vec![
            running("a", "greeter", "v2"),
            running("a", "greeter", "latest"),
            running("b", "secret", "latest"),
        ]);
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(
            directory.names(&a),
            ["api", "debug", "greeter", "proxy", "registry", "runtime", "server", "store"]
        );
        assert!(!directory.names(&b).contains(&"greeter".to_owned()));
        let versions = directory.records(&a, &"greeter".parse().unwrap());
        assert_eq!(
            versions.iter().map(|service| service.version.as_str()).collect::<Vec<_>>(),
            ["latest", "v2"]
        );
        assert!(directory.records(&a, &"secret".parse().unwrap()).is_empty());
        assert_eq!(directory.records(&b, &"registry".parse().unwrap())[0].nodes[0].address, "127.0.0.1:8080");
    }
}
