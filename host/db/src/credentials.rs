//! What stands behind a credential: the credential's own row and all that decides what it opens, in one read.

use micro_api::Namespace;
use micro_api::auth::Role;
use sqlx::{FromRow, Row};

use crate::query::query;
use crate::row::record;
use crate::{ApiKey, Db, Error, Session, now_ms, people};

/// `used_ms` of keys and sessions is exact to this, so that reading costs no write.
pub const USE_STEP_MS: i64 = 60_000;

/// A credential's row, and what its namespace and its holder say of it.
#[derive(Debug, Clone)]
pub struct Held<T> {
    pub credential: T,
    pub standing: Standing,
}

/// Whether the namespace and the holder of a credential let it open anything.
#[derive(Debug, Clone)]
pub struct Standing {
    namespace_closed: Option<i64>,
    person_name: Option<String>,
    person_operator: Option<i64>,
    person_blocked: Option<i64>,
    person_deleted_ms: Option<i64>,
    role: Option<String>,
    account_scopes: Option<String>,
}

record!(Standing {
    namespace_closed,
    person_name,
    person_operator,
    person_blocked,
    person_deleted_ms,
    role,
    account_scopes
});

/// The person who holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub is_operator: bool,
    pub is_blocked: bool,
    /// What the person is in the credential's namespace; none: no member.
    pub role: Option<Role>,
}

impl Standing {
    /// Whether the operator blocked the namespace, or it was deleted; none: there is none of this name.
    pub fn is_namespace_closed(&self) -> Option<bool> {
        self.namespace_closed.map(|closed| closed != 0)
    }

    /// The person who holds the credential, unless an account holds it or the person is gone.
    pub fn holder(self) -> Result<Option<Holder>, Error> {
        let Some(name) = self.person_name.filter(|_| self.person_deleted_ms.is_none()) else {
            return Ok(None);
        };
        Ok(Some(Holder {
            name,
            is_operator: self.person_operator.is_some_and(|operator| operator != 0),
            is_blocked: self.person_blocked.is_some_and(|blocked| blocked != 0),
            role: self.role.as_deref().map(people::parse_role).transpose()?,
        }))
    }

    /// The scopes of the account that holds the credential: a JSON list.
    pub fn account_scopes(&self) -> Option<&str> {
        self.account_scopes.as_deref()
    }
}

impl<'r, R: Row, T: FromRow<'r, R>> FromRow<'r, R> for Held<T>
where
    Standing: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { credential: T::from_row(row)?, standing: Standing::from_row(row)? })
    }
}

/// The columns of [`Standing`] but the account's.
macro_rules! standing {
    () => {
        "CASE WHEN n.blocked <> 0 OR n.deleted_ms IS NOT NULL THEN CAST(1 AS BIGINT)
           WHEN n.namespace IS NOT NULL THEN CAST(0 AS BIGINT) END AS namespace_closed,
         p.name AS person_name, p.operator AS person_operator, p.blocked AS person_blocked,
         p.deleted_ms AS person_deleted_ms, m.role AS role"
    };
}

/// A use of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Of the API key with this id.
    Key(String),
    /// Of the browser's session with this id, which ends at `expires_ms` from now on.
    Session { id: String, expires_ms: i64 },
}

impl Db {
    /// The key behind a credential, also one that has ended.
    pub async fn held_key(&self, digest: &str) -> Result<Option<Held<ApiKey>>, Error> {
        let found = query(
            "api_keys.held",
            concat!(
                "SELECT k.*, NULL AS account_scopes, ",
                standing!(),
                " FROM api_keys k
                 LEFT JOIN namespaces n ON n.namespace = k.namespace
                 LEFT JOIN people p ON p.id = k.owner
                 LEFT JOIN members m ON m.namespace = k.namespace AND m.person = k.owner
                 WHERE k.digest = $1"
            ),
        );
        found.bind(digest).read_first(self).await
    }

    /// The session that an access token of `namespace` came of, unless it has ended.
    pub async fn held_session(
        &self,
        id: &str,
        namespace: &Namespace,
    ) -> Result<Option<Held<Session>>, Error> {
        let found = query(
            "sessions.held",
            concat!(
                "SELECT s.*, a.scopes AS account_scopes, ",
                standing!(),
                " FROM sessions s
                 LEFT JOIN namespaces n ON n.namespace = $2
                 LEFT JOIN people p ON p.id = s.person
                 LEFT JOIN members m ON m.namespace = $2 AND m.person = s.person
                 LEFT JOIN accounts a ON a.namespace = s.namespace AND a.id = s.account
                 WHERE s.id = $1 AND s.expires_ms > $3"
            ),
        );
        found.bind(id).bind(namespace).bind(now_ms()).read_first(self).await
    }

    /// Notes that credentials were used at `now_ms`; those that have ended meanwhile stay so.
    pub async fn note_uses(&self, uses: &[Use], now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        for used in uses {
            match used {
                Use::Key(id) => query("api_keys.used", "UPDATE api_keys SET used_ms = $2 WHERE id = $1")
                    .bind(id)
                    .bind(now_ms),
                Use::Session { id, expires_ms } => {
                    query("sessions.used", "UPDATE sessions SET used_ms = $2, expires_ms = $3 WHERE id = $1")
                        .bind(id)
                        .bind(now_ms)
                        .bind(*expires_ms)
                }
            }
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await
    }
}
