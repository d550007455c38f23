//! API keys: opaque, stored as digests, limited to a namespace and perhaps a service.

use micro_api::Namespace;

use crate::query::query;
use crate::row::record;
use crate::{Db, Error, access, now_ms};

/// A key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub digest: String,
    pub namespace: String,
    /// Id of the person or account that made it.
    pub owner: String,
    pub owner_name: String,
    pub description: String,
    /// A JSON list.
    pub scopes: String,
    /// The one service that it is limited to; empty: all.
    pub service: String,
    pub blocked: i64,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// Exact to a minute.
    pub used_ms: i64,
}

record!(ApiKey {
    id,
    digest,
    namespace,
    owner,
    owner_name,
    description,
    scopes,
    service,
    blocked,
    created_ms,
    expires_ms,
    used_ms
});

impl Db {
    /// Stores a key; fails with [`Error::TooMany`] when the namespace has `keys_max` living ones.
    pub async fn insert_key(&self, key: &ApiKey, keys_max: i64) -> Result<(), Error> {
        let mut tx = self.begin(&key.namespace).await?;
        let count =
            query("api_keys.count", "SELECT COUNT(*) FROM api_keys WHERE namespace = $1 AND expires_ms > $2");
        let count = count.bind(&key.namespace).bind(now_ms()).first::<(i64,)>(&mut tx).await?;
        if count.is_some_and(|(count,)| count >= keys_max) {
            return Err(Error::TooMany { what: "API keys", max: keys_max });
        }
        query(
            "api_keys.insert",
            "INSERT INTO api_keys (id, digest, namespace, owner, owner_name, description, scopes, service, blocked,
               created_ms, expires_ms, used_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&key.id)
        .bind(&key.digest)
        .bind(&key.namespace)
        .bind(&key.owner)
        .bind(&key.owner_name)
        .bind(&key.description)
        .bind(&key.scopes)
        .bind(&key.service)
        .bind(key.blocked)
        .bind(key.created_ms)
        .bind(key.expires_ms)
        .bind(key.used_ms)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// The living keys of a namespace, newest first; of one owner unless `owner` is empty; at most 500.
    pub async fn keys(&self, namespace: &Namespace, owner: &str) -> Result<Vec<ApiKey>, Error> {
        let found = query(
            "api_keys.list",
            "SELECT id, digest, namespace, owner, owner_name, description, scopes, service, blocked, created_ms,
               expires_ms, used_ms FROM api_keys
             WHERE namespace = $1 AND ($2 = '' OR owner = $2) AND expires_ms > $3
             ORDER BY created_ms DESC, id LIMIT 500",
        );
        found.bind(namespace).bind(owner).bind(now_ms()).read_all(self).await
    }

    /// Ends a key; of one owner unless `owner` is empty. False when there is none.
    pub async fn revoke_key(&self, namespace: &Namespace, id: &str, owner: &str) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let revoked = query(
            "api_keys.revoke",
            "DELETE FROM api_keys WHERE id = $1 AND namespace = $2 AND ($3 = '' OR owner = $3)",
        );
        let revoked = revoked.bind(id).bind(namespace).bind(owner).execute(&mut tx).await?;
        access::bump(&mut tx).await?;
        tx.commit().await?;
        Ok(revoked > 0)
    }

    /// Forgets keys that ended before `before_ms`.
    pub async fn sweep_keys(&self, before_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let sweep = query("api_keys.sweep", "DELETE FROM api_keys WHERE expires_ms < $1");
        sweep.bind(before_ms).execute(&mut tx).await?;
        tx.commit().await
    }
}
