//! Services that run elsewhere: their nodes, each with an end unless it is registered again.

use std::collections::BTreeMap;

use micro_api::Namespace;
use micro_api::registry::{Endpoint, Node, Service};
use serde::{Deserialize, Serialize};

use crate::dialect::Tx;
use crate::query::query;
use crate::row::record;
use crate::{Db, Error};

/// Nodes of services elsewhere that one namespace may have.
pub const NODES_MAX: i64 = 256;
/// Nodes of all namespaces that are read at once: more than a platform would ever have.
const READ_MAX: i64 = 100_000;

/// One version of a service that runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Whose it is.
    pub namespace: Namespace,
    /// Its record, with at least one node.
    pub service: Service,
    /// In how many milliseconds the first of its nodes ends; none: never.
    pub left_ms: Option<i64>,
}

/// What all nodes of a version share.
#[derive(Serialize, Deserialize)]
struct Shared {
    metadata: BTreeMap<String, String>,
    endpoints: Vec<Endpoint>,
}

struct Row {
    namespace: String,
    service: String,
    version: String,
    node: String,
    address: String,
    metadata: String,
    record: String,
    expires_ms: Option<i64>,
}

record!(Row { namespace, service, version, node, address, metadata, record, expires_ms });

impl Db {
    /// Writes the nodes of `service` over what they were; other nodes of the version stay, with its new metadata and
    /// endpoints. They end `ttl_ms` from now; none: never.
    ///
    /// # Errors
    /// [`Error::TooMany`] at [`NODES_MAX`] nodes of the namespace.
    pub async fn register_external(
        &self,
        namespace: &Namespace,
        service: &Service,
        ttl_ms: Option<i64>,
    ) -> Result<(), Error> {
        let shared = Shared { metadata: service.metadata.clone(), endpoints: service.endpoints.clone() };
        let shared = encode(&shared)?;
        let mut tx = self.begin(namespace.as_str()).await?;
        let now = tx.clock_ms().await?;
        let before = nodes_of(&mut tx, namespace, service, now).await?;
        let ends = ttl_ms.map(|ttl| now.saturating_add(ttl));
        let earliest = earliest_end(&mut tx, namespace, service, now).await?;
        for node in &service.nodes {
            write(&mut tx, namespace, service, node, &shared, ends).await?;
        }
        query(
            "external_nodes.share",
            "UPDATE external_nodes SET record = $4 WHERE namespace = $1 AND service = $2 AND version = $3",
        )
        .bind(namespace)
        .bind(&service.name)
        .bind(&service.version)
        .bind(&shared)
        .execute(&mut tx)
        .await?;
        let count = query(
            "external_nodes.count",
            "SELECT COUNT(*) FROM external_nodes WHERE namespace = $1 AND (expires_ms IS NULL OR expires_ms > $2)",
        );
        let count = count.bind(namespace).bind(now).first::<(i64,)>(&mut tx).await?;
        if count.is_some_and(|(count,)| count > NODES_MAX) {
            return Err(Error::TooMany { what: "nodes of services elsewhere", max: NODES_MAX });
        }
        // A heartbeat that only puts the end off is nobody's news: who knows the old end reads again when it comes.
        let is_earlier = ends.is_some_and(|ends| earliest.is_none_or(|earliest| ends < earliest));
        if is_earlier || before != nodes_of(&mut tx, namespace, service, now).await? {
            bump(&mut tx).await?;
        }
        tx.commit().await
    }

    /// Removes the named nodes of a version, or all of them when none is named; how many there were.
    pub async fn deregister_external(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
        nodes: &[String],
    ) -> Result<u64, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let mut removed = 0;
        if nodes.is_empty() {
            let all = query(
                "external_nodes.delete_all",
                "DELETE FROM external_nodes WHERE namespace = $1 AND service = $2 AND version = $3",
            );
            removed = all.bind(namespace).bind(service).bind(version).execute(&mut tx).await?;
        }
        for node in nodes {
            let one = query(
                "external_nodes.delete",
                "DELETE FROM external_nodes WHERE namespace = $1 AND service = $2 AND version = $3 AND node = $4",
            );
            removed += one.bind(namespace).bind(service).bind(version).bind(node).execute(&mut tx).await?;
        }
        if removed > 0 {
            bump(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Every namespace's services elsewhere that have not ended, in the order of their keys.
    pub async fn externals(&self) -> Result<Vec<External>, Error> {
        let now = self.clock_ms().await?;
        let rows = query(
            "external_nodes.list",
            "SELECT namespace, service, version, node, address, metadata, record, expires_ms FROM external_nodes
             WHERE expires_ms IS NULL OR expires_ms > $1 ORDER BY namespace, service, version, node LIMIT $2",
        );
        let rows = rows.bind(now).bind(READ_MAX).read_all::<Row>(self).await?;
        let mut found: Vec<External> = Vec::new();
        for row in rows {
            let left_ms = row.expires_ms.map(|at| at.saturating_sub(now));
            let node = Node { id: row.node, address: row.address, metadata: decode(&row.metadata)? };
            let same = found.last_mut().filter(|last| {
                last.namespace.as_str() == row.namespace
                    && last.service.name == row.service
                    && last.service.version == row.version
            });
            if let Some(last) = same {
                last.service.nodes.push(node);
                last.left_ms = last.left_ms.into_iter().chain(left_ms).min();
                continue;
            }
            let shared: Shared = decode(&row.record)?;
            let namespace = row.namespace.parse().map_err(|_| malformed(&row.namespace))?;
            let service = Service {
                name: row.service,
                version: row.version,
                metadata: shared.metadata,
                endpoints: shared.endpoints,
                nodes: vec![node],
            };
            found.push(External { namespace, service, left_ms });
        }
        Ok(found)
    }

    /// How often services elsewhere changed.
    pub async fn registry_revision(&self) -> Result<i64, Error> {
        let row = query("counters.registry_revision", "SELECT value FROM counters WHERE name = 'registry'");
        Ok(row.read_first::<(i64,)>(self).await?.map_or(0, |(value,)| value))
    }

    /// Forgets nodes that ended so long ago.
    pub async fn sweep_externals(&self, age_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin("external_nodes").await?;
        let before = tx.clock_ms().await?.saturating_sub(age_ms);
        query("external_nodes.sweep", "DELETE FROM external_nodes WHERE expires_ms <= $1")
            .bind(before)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}

async fn write(
    tx: &mut Tx,
    namespace: &Namespace,
    service: &Service,
    node: &Node,
    shared: &str,
    expires_ms: Option<i64>,
) -> Result<(), Error> {
    query(
        "external_nodes.write",
        "INSERT INTO external_nodes (namespace, service, version, node, address, metadata, record, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (namespace, service, version, node) DO UPDATE SET address = excluded.address,
           metadata = excluded.metadata, record = excluded.record, expires_ms = excluded.expires_ms",
    )
    .bind(namespace)
    .bind(&service.name)
    .bind(&service.version)
    .bind(&node.id)
    .bind(&node.address)
    .bind(encode(&node.metadata)?)
    .bind(shared)
    .bind(expires_ms)
    .execute(tx)
    .await
    .map(drop)
}

/// Node, address, metadata and record of a version's nodes that have not ended.
async fn nodes_of(
    tx: &mut Tx,
    namespace: &Namespace,
    service: &Service,
    now: i64,
) -> Result<Vec<(String, String, String, String)>, Error> {
    let nodes = query(
        "external_nodes.of_version",
        "SELECT node, address, metadata, record FROM external_nodes
         WHERE namespace = $1 AND service = $2 AND version = $3 AND (expires_ms IS NULL OR expires_ms > $4)
         ORDER BY node",
    );
    nodes.bind(namespace).bind(&service.name).bind(&service.version).bind(now).all(tx).await
}

/// When the first of a version's nodes ends; none: never.
async fn earliest_end(
    tx: &mut Tx,
    namespace: &Namespace,
    service: &Service,
    now: i64,
) -> Result<Option<i64>, Error> {
    let first = query(
        "external_nodes.earliest",
        "SELECT expires_ms FROM external_nodes WHERE namespace = $1 AND service = $2 AND version = $3 AND expires_ms > $4
         ORDER BY expires_ms LIMIT 1",
    );
    let first = first.bind(namespace).bind(&service.name).bind(&service.version).bind(now);
    Ok(first.first::<(i64,)>(tx).await?.map(|(ends,)| ends))
}

/// Tells every node to read them again, once the transaction commits.
pub(crate) async fn bump(tx: &mut Tx) -> Result<(), Error> {
    query("counters.registry_bump", "UPDATE counters SET value = value + 1 WHERE name = 'registry'")
        .execute(tx)
        .await
        .map(drop)
}

fn encode(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode { what: "registration", source })
}

fn decode<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| malformed(text))
}

fn malformed(text: &str) -> Error {
    Error::Malformed { what: "registration", text: text.to_owned() }
}
