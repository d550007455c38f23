//! What every platform has: an operator, and the namespace `default` that is theirs.

use micro_api::Namespace;
use micro_api::auth::Role;

use crate::codes::{Code, Purpose};
use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, now_ms, rules};

/// The operator's name to sign in with.
pub const OPERATOR: &str = "operator";
/// The operator's address until another one is set: no mail can go there.
pub const OPERATOR_EMAIL: &str = "operator@localhost";
/// The plan of the namespace `default`.
pub const OPERATOR_PLAN: &str = "operator";

/// Whether the operator was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Known,
    Made,
}

impl Db {
    /// Makes the operator and the namespace `default` where they are missing. Several nodes may call it at once.
    pub async fn ensure_operator(&self) -> Result<Operator, Error> {
        let mut tx = self.begin("bootstrap").await?;
        let found = query("people.operator", "SELECT id FROM people WHERE operator = 1 LIMIT 1");
        let found = found.first::<(String,)>(&mut tx).await?;
        let (id, result) = match found {
            Some((id,)) => (id, Operator::Known),
            None => (insert_operator(&mut tx).await?, Operator::Made),
        };
        ensure_default(&mut tx, &id).await?;
        tx.commit().await?;
        Ok(result)
    }

    /// Whether the operator has chosen a password.
    pub async fn has_operator_password(&self) -> Result<bool, Error> {
        let found = query(
            "people.operator_set",
            "SELECT id FROM people WHERE operator = 1 AND password <> '' LIMIT 1",
        );
        Ok(found.read_first::<(String,)>(self).await?.is_some())
    }

    /// The operator's id: of a platform, it never changes.
    pub async fn operator_id(&self) -> Result<String, Error> {
        let found = query("people.operator_id", "SELECT id FROM people WHERE operator = 1 LIMIT 1");
        Ok(found.read_first::<(String,)>(self).await?.ok_or(Error::NoAccount)?.0)
    }

    /// A code by which the operator sets a password, in place of the one before.
    pub async fn put_operator_secret(&self, secret: &str) -> Result<(), Error> {
        let operator = query("people.operator_email", "SELECT email FROM people WHERE operator = 1 LIMIT 1");
        let operator = operator.read_first::<(String,)>(self).await?.ok_or(Error::NoAccount)?;
        let subject = crate::people::key_of(&operator.0);
        self.put_codes_for(&[Code::new(Purpose::Reset, subject, secret)], OPERATOR_SECRET_MS).await
    }
}

/// How long the operator's secret is good.
const OPERATOR_SECRET_MS: i64 = 24 * 60 * 60 * 1000;

async fn insert_operator(tx: &mut Tx) -> Result<String, Error> {
    let id = uuid::Uuid::new_v4().to_string();
    // No password matches an empty hash.
    query(
        "people.insert_operator",
        "INSERT INTO people (id, email, email_key, name, name_key, password, sealed_totp, totp_on, totp_step,
           operator, blocked, invitations, created_ms, login_ms, deleted_ms)
         VALUES ($1, $2, $2, $3, $3, '', NULL, 0, 0, 1, 0, 1000000, $4, 0, NULL)",
    )
    .bind(&id)
    .bind(OPERATOR_EMAIL)
    .bind(OPERATOR)
    .bind(now_ms())
    .execute(tx)
    .await?;
    Ok(id)
}

async fn ensure_default(tx: &mut Tx, operator: &str) -> Result<(), Error> {
    let namespace = Namespace::default();
    let project = uuid::Uuid::new_v4().to_string();
    let made = query(
        "namespaces.insert_default",
        "INSERT INTO namespaces (namespace, project, environment, description, plan, blocked, created_ms,
           deleted_ms) VALUES ($1, $2, 'production', '', $3, 0, $4, NULL)
         ON CONFLICT (namespace) DO NOTHING",
    );
    let made = made.bind(&namespace).bind(&project).bind(OPERATOR_PLAN).bind(now_ms()).execute(tx).await?;
    if made == 0 {
        return Ok(());
    }
    query(
        "projects.insert_default",
        "INSERT INTO projects (id, name, description, repository, created_ms) VALUES ($1, $2, '', '', $3)",
    )
    .bind(&project)
    .bind(namespace.as_str())
    .bind(now_ms())
    .execute(tx)
    .await?;
    query(
        "members.insert_default",
        "INSERT INTO members (namespace, person, role, joined_ms) VALUES ($1, $2, $3, $4)",
    )
    .bind(&namespace)
    .bind(operator)
    .bind(Role::Owner.as_str())
    .bind(now_ms())
    .execute(tx)
    .await?;
    rules::insert_default(tx, namespace.as_str()).await
}
