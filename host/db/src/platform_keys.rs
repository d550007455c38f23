//! Keys that all nodes of a platform share, sealed by the master key.

use crate::query::query;
use crate::{Db, Error};

impl Db {
    /// The sealed key of that name, if one was kept.
    pub async fn platform_key(&self, name: &str) -> Result<Option<String>, Error> {
        let found = query("platform_keys.get", "SELECT sealed_key FROM platform_keys WHERE name = $1");
        Ok(found.bind(name).read_first::<(String,)>(self).await?.map(|(sealed,)| sealed))
    }

    /// Keeps `first` unless there is one; the sealed key that counts from now on.
    pub async fn keep_platform_key(&self, name: &str, first: &str) -> Result<String, Error> {
        let mut tx = self.begin("platform_keys").await?;
        query(
            "platform_keys.insert",
            "INSERT INTO platform_keys (name, sealed_key) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(first)
        .execute(&mut tx)
        .await?;
        let kept = query("platform_keys.get", "SELECT sealed_key FROM platform_keys WHERE name = $1");
        let kept = kept.bind(name).first::<(String,)>(&mut tx).await?;
        tx.commit_quietly().await?;
        Ok(kept.map_or_else(|| first.to_owned(), |(sealed,)| sealed))
    }
}
