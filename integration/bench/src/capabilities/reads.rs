//! `config.get` and `registry.get`, which a node answers from its memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use micro_api::name::{Namespace, ServiceName};
use micro_api::registry::{Changes, Endpoint, Node, Service, Value};
use micro_capability::registry::Directory;
use micro_capability::{Capabilities, config};
use serde_json::{Map, json};

use super::compare::{Case, Judge, compare};
use super::looper::{Looper, Operation, name, value};
use super::servers::TABLE;
use super::{VALUE_BYTES, map};
use crate::Effort;
use crate::table::Row;

/// Entries of the document, and services of the namespace.
const ENTRIES: u64 = 100;

pub(super) async fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = configuration(effort).await.context("configuration")?;
    rows.extend(services(effort).await.context("the registry")?);
    Ok(rows)
}

async fn configuration(effort: Effort) -> Result<Vec<Row>> {
    let text = String::from_utf8(value(VALUE_BYTES))?;
    let own: Map<_, _> = (0..ENTRIES).map(|number| (name(number), json!(text))).collect();
    let document = Map::from_iter([(TABLE.to_owned(), serde_json::Value::Object(own))]);
    let source = Arc::<config::Memory>::default();
    source.set(&Namespace::default(), document.clone());
    let looper = Looper::new(|capabilities| Capabilities { config: source, ..capabilities }).await?;
    let case = Case {
        what: "config.get".to_owned(),
        operation: Operation { name: "config.get", keys: ENTRIES, bytes: 0 },
        count: 20_000,
        floor_name: "a document alone",
        floor: map::document(serde_json::Value::Object(document), TABLE, ENTRIES),
        judge: Judge::Embedded,
        allowed: None,
    };
    compare(&looper, &case, effort).await
}

async fn services(effort: Effort) -> Result<Vec<Row>> {
    let all: HashMap<_, _> = (0..ENTRIES).map(|number| (name(number), vec![service(number)])).collect();
    let all = Arc::new(all);
    let named = all.iter().map(|(name, services)| {
        Ok((name.parse()?, services.iter().cloned().map(Arc::new).collect::<Vec<_>>()))
    });
    let registry = Arc::new(Services(named.collect::<Result<_>>()?));
    let looper = Looper::new(|capabilities| Capabilities { registry, ..capabilities }).await?;
    let case = Case {
        what: "registry.get".to_owned(),
        operation: Operation { name: "registry.get", keys: ENTRIES, bytes: 0 },
        count: 20_000,
        floor_name: "a copy of the record",
        floor: map::records(all, ENTRIES),
        judge: Judge::Embedded,
        allowed: None,
    };
    compare(&looper, &case, effort).await
}

/// A service with one endpoint, as `micro new` makes it.
fn service(number: u64) -> Service {
    let field = |name: &str| Value { name: name.to_owned(), r#type: "string".to_owned(), values: Vec::new() };
    let message = |kind: &str, of: &str| Value {
        name: kind.to_owned(),
        r#type: kind.to_owned(),
        values: vec![field(of)],
    };
    Service {
        name: name(number),
        version: "latest".to_owned(),
        metadata: BTreeMap::new(),
        endpoints: vec![Endpoint {
            name: "Helloworld.Call".to_owned(),
            request: message("Request", "name"),
            response: message("Response", "message"),
            metadata: BTreeMap::new(),
        }],
        nodes: vec![Node {
            id: format!("{}-1", name(number)),
            address: "127.0.0.1:8080".to_owned(),
            metadata: BTreeMap::new(),
        }],
    }
}

/// What runs: these, and nothing changes.
struct Services(HashMap<ServiceName, Vec<Arc<Service>>>);

#[async_trait]
impl Directory for Services {
    async fn get(&self, _namespace: &Namespace, service: &ServiceName) -> Vec<Arc<Service>> {
        self.0.get(service).cloned().unwrap_or_default()
    }

    async fn list(&self, _namespace: &Namespace) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }

    async fn watch(
        &self,
        _: &Namespace,
        _: Option<&ServiceName>,
        after: Option<String>,
        _: Duration,
    ) -> Changes {
        Changes { ready: true, revision: after.unwrap_or_default(), ..Default::default() }
    }
}
