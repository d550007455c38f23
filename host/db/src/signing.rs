//! Keys that sign access tokens, sealed by the master key.

use crate::query::query;
use crate::row::record;
use crate::{Db, Error, access, now_ms};

/// A signing key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    pub kid: String,
    pub sealed_key: String,
    pub created_ms: i64,
    /// From then on it verifies nothing.
    pub retired_ms: Option<i64>,
}

record!(SealedKey { kid, sealed_key, created_ms, retired_ms });

impl Db {
    /// Keys that still verify, the signing one first.
    pub async fn signing_keys(&self) -> Result<Vec<SealedKey>, Error> {
        let keys = query(
            "signing_keys.list",
            "SELECT kid, sealed_key, created_ms, retired_ms FROM signing_keys
             WHERE retired_ms IS NULL OR retired_ms > $1 ORDER BY created_ms DESC, kid",
        );
        keys.bind(now_ms()).read_all(self).await
    }

    /// Stores the first key, unless another node was faster.
    pub async fn insert_first_signing_key(&self, kid: &str, sealed: &str) -> Result<(), Error> {
        let mut tx = self.begin("signing").await?;
        let some =
            query("signing_keys.some", "SELECT kid FROM signing_keys WHERE retired_ms IS NULL LIMIT 1");
        if some.first::<(String,)>(&mut tx).await?.is_none() {
            insert(&mut tx, kid, sealed).await?;
        }
        tx.commit().await
    }

    /// A new key signs from now on; those before it verify until `retired_ms`.
    pub async fn rotate_signing_key(&self, kid: &str, sealed: &str, retired_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin("signing").await?;
        query("signing_keys.retire", "UPDATE signing_keys SET retired_ms = $1 WHERE retired_ms IS NULL")
            .bind(retired_ms)
            .execute(&mut tx)
            .await?;
        insert(&mut tx, kid, sealed).await?;
        access::bump(&mut tx).await?;
        tx.commit().await
    }
}

async fn insert(tx: &mut crate::dialect::Tx, kid: &str, sealed: &str) -> Result<(), Error> {
    query(
        "signing_keys.insert",
        "INSERT INTO signing_keys (kid, sealed_key, created_ms, retired_ms) VALUES ($1, $2, $3, NULL)",
    )
    .bind(kid)
    .bind(sealed)
    .bind(now_ms())
    .execute(tx)
    .await
    .map(drop)
}
