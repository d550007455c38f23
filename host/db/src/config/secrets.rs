//! Secrets: rows of their own, sealed by the namespace's key, which the master key seals. Nothing here can open them.

use micro_api::Namespace;
use micro_api::config::{Change, Path, find, without};

use super::{ConfigFault, Next, SECRETS_BYTES_MAX, SECRETS_MAX, read};
use crate::audit::{self, Actor, Entry};
use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, now_ms};

/// A secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its path, dotted.
    pub name: String,
    pub sealed: String,
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SealedSecret {
    /// Its path, parsed.
    ///
    /// # Errors
    /// When this version would not have written it.
    pub fn path(&self) -> Result<Path, Error> {
        self.name.parse().map_err(|_| Error::Malformed { what: "path", text: self.name.clone() })
    }
}

impl Db {
    /// The sealed key of the namespace's secrets: the one that is there, else `first` from now on.
    pub async fn config_key(&self, namespace: &Namespace, first: &str) -> Result<String, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        query(
            "config_documents.key",
            "INSERT INTO config_documents (namespace, version, revision, document, sealed_key)
             VALUES ($1, 0, 0, '{}', $2)
             ON CONFLICT (namespace) DO UPDATE SET sealed_key = excluded.sealed_key
             WHERE config_documents.sealed_key = ''",
        )
        .bind(namespace)
        .bind(first)
        .execute(&mut tx)
        .await?;
        let held = read(&mut tx, namespace.as_str()).await?;
        tx.commit_quietly().await?;
        Ok(held.sealed_key)
    }

    /// Sets a secret that was sealed by the key whose sealed form is `key`. What stood plain at its path goes.
    ///
    /// # Errors
    /// [`ConfigFault`]; [`ConfigFault::KeyReplaced`] when the namespace's key is another one by now.
    pub async fn set_secret(
        &self,
        namespace: &Namespace,
        path: &Path,
        sealed: &str,
        key: &str,
        actor: &Actor,
    ) -> Result<Change, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let held = read(&mut tx, namespace.as_str()).await?;
        if held.sealed_key != key {
            return Err(ConfigFault::KeyReplaced.into());
        }
        check_room(&held.paths()?, path)?;
        if find(&held.document, path).is_some_and(serde_json::Value::is_object) {
            return Err(ConfigFault::HoldsObject(path.to_string()).into());
        }
        let document = without(held.document, [path]).map_err(ConfigFault::Document)?;
        let mut next = Next { namespace: namespace.as_str(), version: held.version + 1, actor };
        next.put_secret(&mut tx, path, sealed).await?;
        next.check_secrets(&mut tx).await?;
        next.audit(&mut tx, "secret.set", path.as_str(), "").await?;
        let change = next.commit(&mut tx, &document, "secret.set", path.as_str()).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Notes that somebody was shown a secret.
    pub async fn note_shown(&self, namespace: &Namespace, path: &Path, actor: &Actor) -> Result<(), Error> {
        let (namespace, subject) = (namespace.as_str(), path.as_str());
        self.audit(Entry { actor, namespace, action: "secret.show", subject, detail: "" }).await
    }
}

impl Next<'_> {
    pub(super) async fn put_secret(&self, tx: &mut Tx, path: &Path, sealed: &str) -> Result<(), Error> {
        query(
            "config_secrets.upsert",
            "INSERT INTO config_secrets (namespace, path, sealed, updated_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (namespace, path) DO UPDATE SET sealed = excluded.sealed, updated_ms = excluded.updated_ms",
        )
        .bind(self.namespace)
        .bind(path.as_str())
        .bind(sealed)
        .bind(now_ms())
        .execute(tx)
        .await
        .map(drop)
    }

    pub(super) async fn remove_secret(&self, tx: &mut Tx, path: &Path) -> Result<(), Error> {
        query("config_secrets.delete", "DELETE FROM config_secrets WHERE namespace = $1 AND path = $2")
            .bind(self.namespace)
            .bind(path.as_str())
            .execute(tx)
            .await?;
        let (actor, namespace, subject) = (self.actor, self.namespace, path.as_str());
        audit::write(tx, Entry { actor, namespace, action: "secret.delete", subject, detail: "" }).await
    }

    /// Whether all secrets together are within bounds.
    pub(super) async fn check_secrets(&self, tx: &mut Tx) -> Result<(), Error> {
        let secrets = of(tx, self.namespace).await?;
        let bytes: usize = secrets.iter().map(|secret| secret.sealed.len()).sum();
        let fits = secrets.len() <= SECRETS_MAX && bytes <= SECRETS_BYTES_MAX;
        if fits { Ok(()) } else { Err(ConfigFault::SecretsFull.into()) }
    }
}

/// No secret stands above or below another.
pub(super) fn check_room(secrets: &[Path], path: &Path) -> Result<(), ConfigFault> {
    if let Some(above) = secrets.iter().find(|secret| secret.is_above(path)) {
        return Err(ConfigFault::BelowSecret(above.to_string()));
    }
    match secrets.iter().find(|secret| path.is_above(secret)) {
        Some(below) => Err(ConfigFault::SecretsBelow(below.to_string())),
        None => Ok(()),
    }
}

/// The secrets of a namespace, by path.
pub(super) async fn of(tx: &mut Tx, namespace: &str) -> Result<Vec<SealedSecret>, Error> {
    let rows = query(
        "config_secrets.list",
        "SELECT path, sealed FROM config_secrets WHERE namespace = $1 ORDER BY path",
    );
    let rows = rows.bind(namespace).all::<(String, String)>(tx).await?;
    Ok(rows.into_iter().map(|(name, sealed)| SealedSecret { name, sealed }).collect())
}
