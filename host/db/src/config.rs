//! The configuration of namespaces: a document with its history, and secrets beside it, sealed before they come here.
//!
//! Each write is one transaction that excludes the others of the namespace: it reads the document, changes it, and
//! leaves a version behind, of which the newest are kept. It also takes the next number of the counter `config`; the
//! counter's row is held until the commit, so whoever reads a number finds every write up to it.

mod fault;
mod history;
mod secrets;

use micro_api::Namespace;
use micro_api::config::{Change, Document, Path, set, without};
use micro_artifact::Digest;

use crate::audit::{self, Actor, Entry};
use crate::dialect::Tx;
use crate::query::query;
use crate::row::{decode, encode, record};
use crate::{Db, Error, now_ms};

pub use fault::ConfigFault;
pub use secrets::SealedSecret;

/// Versions of a namespace that are kept.
pub const VERSIONS_MAX: i64 = 100;
/// Bytes of the documents of those versions together; the newest is always kept.
pub const VERSIONS_BYTES_MAX: i64 = 8 << 20;
/// Secrets of a namespace.
pub const SECRETS_MAX: usize = 500;
/// Bytes of a namespace's sealed secrets together.
pub const SECRETS_BYTES_MAX: usize = 1 << 20;
/// Namespaces that one look at changes brings.
const CHANGED_MAX: i64 = 1_000;

/// What a namespace has, as of one moment.
#[derive(Clone, Default, PartialEq)]
pub struct Held {
    /// 0: nothing was ever written.
    pub version: i64,
    pub document: Document,
    /// The key of its secrets, sealed; empty: there was never a secret.
    pub sealed_key: String,
    /// By path.
    pub secrets: Vec<SealedSecret>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A change of the document.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Merges a value in.
    Set(Path, serde_json::Value),
    /// Takes a value out, with the secrets at and below its path.
    Delete(Path),
    /// Back to what a version was; secrets stay as they are.
    Restore(i64),
    /// The document, and secrets over those that are there, of another namespace.
    Clone(Copied),
}

/// What is taken over from another namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    /// Which one.
    pub from: Namespace,
    pub document: Document,
    /// Sealed for the namespace that takes them.
    pub secrets: Vec<SealedSecret>,
    /// The key, in its sealed form, that seals them.
    pub key: String,
}

struct Row {
    version: i64,
    document: String,
    sealed_key: String,
}
record!(Row { version, document, sealed_key });

impl Db {
    /// How often any namespace's configuration changed.
    pub async fn config_revision(&self) -> Result<i64, Error> {
        let row = query("counters.config", "SELECT value FROM counters WHERE name = 'config'");
        Ok(row.read_first::<(i64,)>(self).await?.map_or(0, |(value,)| value))
    }

    /// Namespaces that were written after `revision`, with the number of that write, in the order of these. At most
    /// 1 000: go on after the last.
    pub async fn config_changed(&self, revision: i64) -> Result<Vec<(i64, Namespace)>, Error> {
        let rows = query(
            "config_documents.changed",
            "SELECT revision, namespace FROM config_documents WHERE revision > $1 ORDER BY revision LIMIT $2",
        );
        let rows = rows.bind(revision).bind(CHANGED_MAX).read_all::<(i64, String)>(self).await?;
        rows.into_iter().map(|(at, name)| Ok((at, crate::projects::parse(&name)?))).collect()
    }

    /// All that `namespace` has.
    pub async fn config(&self, namespace: &Namespace) -> Result<Held, Error> {
        // A moment of its own: with two reads a secret and its key could be of different ones.
        let mut snapshot = self.snapshot().await?;
        read(snapshot.tx(), namespace.as_str()).await
    }

    /// Changes the document; the version that it made, or none when there was nothing to delete.
    ///
    /// # Errors
    /// [`ConfigFault`].
    pub async fn write_config(
        &self,
        namespace: &Namespace,
        write: Write,
        actor: &Actor,
    ) -> Result<Option<Change>, Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let held = read(&mut tx, namespace.as_str()).await?;
        let mut next = Next { namespace: namespace.as_str(), version: held.version + 1, actor };
        let change = match write {
            Write::Set(path, value) => next.set(&mut tx, held, &path, value).await?,
            Write::Delete(path) => match next.delete(&mut tx, held, &path).await? {
                Some(change) => change,
                None => return Ok(None),
            },
            Write::Restore(version) => next.restore(&mut tx, held, version).await?,
            Write::Clone(copied) => next.take_over(&mut tx, held, copied).await?,
        };
        tx.commit().await?;
        Ok(Some(change))
    }
}

/// The version that a transaction is about to make.
struct Next<'a> {
    namespace: &'a str,
    version: i64,
    actor: &'a Actor,
}

impl Next<'_> {
    async fn set(
        &mut self,
        tx: &mut Tx,
        mut held: Held,
        path: &Path,
        value: serde_json::Value,
    ) -> Result<Change, Error> {
        let secrets = held.paths()?;
        if secrets.iter().any(|secret| secret == path) {
            return Err(ConfigFault::IsSecret(path.to_string()).into());
        }
        if let Some(above) = secrets.iter().find(|secret| secret.is_above(path)) {
            return Err(ConfigFault::BelowSecret(above.to_string()).into());
        }
        set(&mut held.document, path, value).map_err(ConfigFault::Document)?;
        // A merged object may hold a key that is a secret's, and a scalar may have taken the place of what is above.
        for secret in secrets.iter().filter(|secret| path.is_above(secret)) {
            let clean = without(held.document.clone(), [secret]);
            if clean.map_err(|_| ConfigFault::SecretsBelow(secret.to_string()))? != held.document {
                return Err(ConfigFault::IsSecret(secret.to_string()).into());
            }
        }
        self.commit(tx, &held.document, "set", path.as_str()).await
    }

    async fn delete(&mut self, tx: &mut Tx, mut held: Held, path: &Path) -> Result<Option<Change>, Error> {
        let secrets = held.paths()?;
        let ending: Vec<_> =
            secrets.into_iter().filter(|secret| secret == path || path.is_above(secret)).collect();
        let removed = micro_api::config::remove(&mut held.document, path);
        if !removed && ending.is_empty() {
            return Ok(None);
        }
        for secret in &ending {
            self.remove_secret(tx, secret).await?;
        }
        let action = if removed { "delete" } else { "secret.delete" };
        self.commit(tx, &held.document, action, path.as_str()).await.map(Some)
    }

    async fn restore(&mut self, tx: &mut Tx, held: Held, version: i64) -> Result<Change, Error> {
        let document = history::document(tx, self.namespace, version).await?;
        let document = without(document, &held.paths()?).map_err(ConfigFault::Document)?;
        self.audit(tx, "config.restore", &version.to_string(), "").await?;
        self.commit(tx, &document, "restore", &version.to_string()).await
    }

    async fn take_over(&mut self, tx: &mut Tx, held: Held, copied: Copied) -> Result<Change, Error> {
        let Copied { from, document, secrets, key } = copied;
        if !secrets.is_empty() && held.sealed_key != key {
            return Err(ConfigFault::KeyReplaced.into());
        }
        let mut paths = held.paths()?;
        for secret in &secrets {
            let path = secret.path()?;
            if !paths.contains(&path) {
                secrets::check_room(&paths, &path)?;
                paths.push(path);
            }
        }
        let document = without(document, &paths).map_err(ConfigFault::Document)?;
        for secret in &secrets {
            self.put_secret(tx, &secret.path()?, &secret.sealed).await?;
        }
        self.check_secrets(tx).await?;
        let with = if secrets.is_empty() { "" } else { "with secrets" };
        self.audit(tx, "config.clone", from.as_str(), with).await?;
        self.commit(tx, &document, "clone", from.as_str()).await
    }

    /// Leaves the version behind and tells every node, once the transaction commits.
    async fn commit(
        &mut self,
        tx: &mut Tx,
        document: &Document,
        action: &str,
        path: &str,
    ) -> Result<Change, Error> {
        let text = encode("document", document)?;
        let digest = Digest::of(text.as_bytes()).to_string();
        let change = Change {
            version: self.version,
            at_ms: now_ms(),
            by: self.actor.name.clone(),
            action: action.to_owned(),
            path: path.to_owned(),
            sha256: digest.rsplit(':').next().unwrap_or_default().to_owned(),
        };
        // From here to the end of the transaction no other write commits, of any namespace.
        query("counters.bump", "UPDATE counters SET value = value + 1 WHERE name = 'config'")
            .execute(tx)
            .await?;
        query(
            "config_documents.upsert",
            "INSERT INTO config_documents (namespace, version, revision, document, sealed_key)
             VALUES ($1, $2, (SELECT value FROM counters WHERE name = 'config'), $3, '')
             ON CONFLICT (namespace) DO UPDATE SET
               version = excluded.version, revision = excluded.revision, document = excluded.document",
        )
        .bind(self.namespace)
        .bind(self.version)
        .bind(&text)
        .execute(tx)
        .await?;
        history::add(tx, self.namespace, self.actor, &change, &text).await?;
        Ok(change)
    }

    async fn audit(
        &self,
        tx: &mut Tx,
        action: &'static str,
        subject: &str,
        detail: &str,
    ) -> Result<(), Error> {
        let entry = Entry { actor: self.actor, namespace: self.namespace, action, subject, detail };
        audit::write(tx, entry).await
    }
}

impl Held {
    /// Paths of the secrets.
    ///
    /// # Errors
    /// For a path that this version would not have written.
    pub fn paths(&self) -> Result<Vec<Path>, Error> {
        self.secrets.iter().map(SealedSecret::path).collect()
    }
}

/// All of a namespace, in one transaction.
async fn read(tx: &mut Tx, namespace: &str) -> Result<Held, Error> {
    let row = query(
        "config_documents.get",
        "SELECT version, document, sealed_key FROM config_documents WHERE namespace = $1",
    );
    let Some(row) = row.bind(namespace).first::<Row>(tx).await? else { return Ok(Held::default()) };
    let secrets = secrets::of(tx, namespace).await?;
    let document = decode("configuration", &row.document)?;
    Ok(Held { version: row.version, document, sealed_key: row.sealed_key, secrets })
}

/// Removes all of a namespace that has ended.
pub(crate) async fn forget(tx: &mut Tx, namespace: &str) -> Result<(), Error> {
    for forget in [
        query("config_secrets.forget", "DELETE FROM config_secrets WHERE namespace = $1"),
        query("config_versions.forget", "DELETE FROM config_versions WHERE namespace = $1"),
        query("config_documents.forget", "DELETE FROM config_documents WHERE namespace = $1"),
    ] {
        forget.bind(namespace).execute(tx).await?;
    }
    Ok(())
}

/// Removes what the namespaces have that ended before `before_ms`.
pub(crate) async fn forget_ended(db: &Db, before_ms: i64) -> Result<(), Error> {
    let due = query(
        "config_documents.ended",
        "SELECT c.namespace FROM config_documents c JOIN namespaces n ON n.namespace = c.namespace
         WHERE n.deleted_ms <= $1 LIMIT $2",
    );
    for (namespace,) in due.bind(before_ms).bind(CHANGED_MAX).read_all::<(String,)>(db).await? {
        let mut tx = db.begin(&namespace).await?;
        forget(&mut tx, &namespace).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The history shows people by the name that they have now.
pub(crate) async fn rename_actor(tx: &mut Tx, person: &str, name: &str) -> Result<(), Error> {
    query("config_versions.rename", "UPDATE config_versions SET actor_name = $2 WHERE actor = $1")
        .bind(person)
        .bind(name)
        .execute(tx)
        .await
        .map(drop)
}
