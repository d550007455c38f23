//! The results of builds, and which artifacts are still needed.

use std::collections::HashSet;

use micro_artifact::Digest;

use crate::dialect::Tx;
use crate::query::query;
use crate::row::{Record, decode};
use crate::{Db, Error, now_ms};

impl Db {
    /// Digests that must stay: every revision we know, and what build caches name.
    pub async fn live_artifacts(&self) -> Result<HashSet<Digest>, Error> {
        let mut live = HashSet::new();
        for (text,) in
            query("revisions.live", "SELECT digest FROM revisions").read_all::<(String,)>(self).await?
        {
            live.insert(text.parse().map_err(|_| Error::Malformed { what: "digest", text })?);
        }
        let cached =
            query("build_cache.live", "SELECT artifacts FROM build_cache").read_all::<(String,)>(self);
        for (artifacts,) in cached.await? {
            live.extend(decode::<Vec<Digest>>("artifacts", &artifacts)?);
        }
        Ok(live)
    }
}

pub(crate) async fn insert(tx: &mut Tx, record: &Record, revision: &Digest) -> Result<(), Error> {
    query(
        "revisions.insert",
        "INSERT INTO revisions (digest, namespace, service, version, created_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(revision.to_string())
    .bind(&record.deployment.namespace)
    .bind(&record.deployment.service)
    .bind(&record.deployment.version)
    .bind(now_ms())
    .execute(tx)
    .await
    .map(drop)
}
