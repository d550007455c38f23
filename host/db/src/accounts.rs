//! Micro's accounts: identities of one namespace, beside people.

use std::collections::BTreeMap;

use micro_api::Namespace;

use crate::query::query;
use crate::row::record;
use crate::{Db, Error, now_ms, sessions};

/// An account's row. `password` is an Argon2id hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceAccount {
    pub id: String,
    pub kind: String,
    pub password: String,
    pub scopes: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

struct Row {
    id: String,
    kind: String,
    password: String,
    scopes: String,
    metadata: String,
}

record!(Row { id, kind, password, scopes, metadata });

macro_rules! select_account {
    ($where:literal) => {
        concat!("SELECT id, kind, password, scopes, metadata FROM accounts ", $where)
    };
}

impl Db {
    /// Stores an account; fails with [`Error::AccountExists`], or [`Error::TooMany`] at `accounts_max`.
    pub async fn create_account(
        &self,
        namespace: &Namespace,
        account: &NamespaceAccount,
        accounts_max: i64,
    ) -> Result<(), Error> {
        let scopes = encode("scopes", &account.scopes)?;
        let metadata = encode("metadata", &account.metadata)?;
        let mut tx = self.begin(namespace.as_str()).await?;
        let count = query("accounts.count", "SELECT COUNT(*) FROM accounts WHERE namespace = $1");
        let count = count.bind(namespace).first::<(i64,)>(&mut tx).await?;
        if count.is_some_and(|(count,)| count >= accounts_max) {
            return Err(Error::TooMany { what: "accounts", max: accounts_max });
        }
        let inserted = query(
            "accounts.insert",
            "INSERT INTO accounts (namespace, id, kind, password, scopes, metadata, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (namespace, id) DO NOTHING",
        )
        .bind(namespace)
        .bind(&account.id)
        .bind(&account.kind)
        .bind(&account.password)
        .bind(scopes)
        .bind(metadata)
        .bind(now_ms())
        .execute(&mut tx)
        .await?;
        if inserted == 0 {
            return Err(Error::AccountExists);
        }
        tx.commit().await
    }

    pub async fn account(&self, namespace: &Namespace, id: &str) -> Result<Option<NamespaceAccount>, Error> {
        let found = query("accounts.get", select_account!("WHERE namespace = $1 AND id = $2"));
        let row = found.bind(namespace).bind(id).read_first::<Row>(self).await?;
        row.map(NamespaceAccount::try_from).transpose()
    }

    /// All accounts of a namespace by id; their number is bounded at creation.
    pub async fn accounts(&self, namespace: &Namespace) -> Result<Vec<NamespaceAccount>, Error> {
        let found = query("accounts.list", select_account!("WHERE namespace = $1 ORDER BY id"));
        let rows = found.bind(namespace).read_all::<Row>(self).await?;
        rows.into_iter().map(NamespaceAccount::try_from).collect()
    }

    /// Removes an account and ends what it is signed in with.
    pub async fn delete_account(&self, namespace: &Namespace, id: &str) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let deleted = query("accounts.delete", "DELETE FROM accounts WHERE namespace = $1 AND id = $2");
        if deleted.bind(namespace).bind(id).execute(&mut tx).await? == 0 {
            return Err(Error::NoAccount);
        }
        query("api_keys.of_account", "DELETE FROM api_keys WHERE namespace = $1 AND owner = $2")
            .bind(namespace)
            .bind(format!("account:{id}"))
            .execute(&mut tx)
            .await?;
        sessions::end_account(&mut tx, namespace, id).await?;
        tx.commit().await
    }
}

impl TryFrom<Row> for NamespaceAccount {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let malformed = |what, text: &str| Error::Malformed { what, text: text.to_owned() };
        Ok(Self {
            scopes: serde_json::from_str(&row.scopes).map_err(|_| malformed("scopes", &row.scopes))?,
            metadata: serde_json::from_str(&row.metadata)
                .map_err(|_| malformed("metadata", &row.metadata))?,
            id: row.id,
            kind: row.kind,
            password: row.password,
        })
    }
}

fn encode(what: &'static str, value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode { what, source })
}
