//! The results of builds, and which artifacts are still needed.

use std::collections::HashSet;

use micro_artifact::Digest;

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::row::{Record, decode};
use crate::{Db, Error, Snapshot, now_ms};

impl Db {
    /// Digests that must stay: every revision we know, and what build caches name.
    pub async fn live_artifacts(&self) -> Result<HashSet<Digest>, Error> {
        live(&revisions().read_all(self).await?, &cached().read_all(self).await?)
    }
}

impl Snapshot {
    /// As [`Db::live_artifacts`], of the snapshot's moment.
    pub async fn live_artifacts(&mut self) -> Result<HashSet<Digest>, Error> {
        let tx = self.tx();
        live(&revisions().all(tx).await?, &cached().all(tx).await?)
    }
}

fn revisions() -> Query {
    query("revisions.live", "SELECT digest FROM revisions")
}

fn cached() -> Query {
    query("build_cache.live", "SELECT artifacts FROM build_cache")
}

fn live(revisions: &[(String,)], cached: &[(String,)]) -> Result<HashSet<Digest>, Error> {
    let mut live = HashSet::new();
    for (text,) in revisions {
        let malformed = |_| Error::Malformed { what: "digest", text: text.clone() };
        live.insert(text.parse().map_err(malformed)?);
    }
    for (artifacts,) in cached {
        live.extend(decode::<Vec<Digest>>("artifacts", artifacts)?);
    }
    Ok(live)
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
