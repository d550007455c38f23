//! Versions of documents: added by each write, and kept within bounds by the same.

use micro_api::Namespace;
use micro_api::config::{Change, Document};

use super::{ConfigFault, VERSIONS_BYTES_MAX, VERSIONS_MAX};
use crate::audit::Actor;
use crate::dialect::Tx;
use crate::query::query;
use crate::row::decode;
use crate::{Db, Error};

type Row = (i64, i64, String, String, String, String);

impl Db {
    /// The newest versions first, at most [`VERSIONS_MAX`].
    pub async fn config_history(&self, namespace: &Namespace, limit: i64) -> Result<Vec<Change>, Error> {
        let rows = query(
            "config_versions.list",
            "SELECT version, at_ms, actor_name, action, path, sha256 FROM config_versions
             WHERE namespace = $1 ORDER BY version DESC LIMIT $2",
        );
        let rows = rows.bind(namespace).bind(limit.clamp(1, VERSIONS_MAX)).read_all::<Row>(self).await?;
        let change =
            |(version, at_ms, by, action, path, sha256)| Change { version, at_ms, by, action, path, sha256 };
        Ok(rows.into_iter().map(change).collect())
    }

    /// The document as it was after `version`; after 0 it was empty.
    ///
    /// # Errors
    /// [`ConfigFault::NoVersion`].
    pub async fn config_at(&self, namespace: &Namespace, version: i64) -> Result<Document, Error> {
        let mut snapshot = self.snapshot().await?;
        document(snapshot.tx(), namespace.as_str(), version).await
    }
}

pub(super) async fn document(tx: &mut Tx, namespace: &str, version: i64) -> Result<Document, Error> {
    if version == 0 {
        return Ok(Document::new());
    }
    let row = query(
        "config_versions.get",
        "SELECT document FROM config_versions WHERE namespace = $1 AND version = $2",
    );
    let row = row.bind(namespace).bind(version).first::<(String,)>(tx).await?;
    let (text,) = row.ok_or(ConfigFault::NoVersion(version))?;
    decode("configuration", &text)
}

pub(super) async fn add(
    tx: &mut Tx,
    namespace: &str,
    actor: &Actor,
    change: &Change,
    document: &str,
) -> Result<(), Error> {
    query(
        "config_versions.insert",
        "INSERT INTO config_versions
           (namespace, version, at_ms, actor, actor_name, action, path, sha256, bytes, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(namespace)
    .bind(change.version)
    .bind(change.at_ms)
    .bind(&actor.id)
    .bind(&actor.name)
    .bind(&change.action)
    .bind(&change.path)
    .bind(&change.sha256)
    .bind(i64::try_from(document.len()).unwrap_or(i64::MAX))
    .bind(document)
    .execute(tx)
    .await?;
    let sizes = query(
        "config_versions.sizes",
        "SELECT version, bytes FROM config_versions WHERE namespace = $1 ORDER BY version DESC",
    );
    let (mut count, mut total) = (0_i64, 0_i64);
    for (version, bytes) in sizes.bind(namespace).all::<(i64, i64)>(tx).await? {
        count += 1;
        total = total.saturating_add(bytes);
        if count > VERSIONS_MAX || (count > 1 && total > VERSIONS_BYTES_MAX) {
            let prune = query(
                "config_versions.prune",
                "DELETE FROM config_versions WHERE namespace = $1 AND version <= $2",
            );
            prune.bind(namespace).bind(version).execute(tx).await?;
            break;
        }
    }
    Ok(())
}
