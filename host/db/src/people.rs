//! People, and the namespaces that they are members of.

use micro_api::Namespace;
use micro_api::auth::Role;

use crate::dialect::Tx;
use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, now_ms};

/// A person's row. `password` is an Argon2id hash.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub email: String,
    email_proved: i64,
    pub name: String,
    /// Empty: none was chosen yet.
    pub password: String,
    /// Sealed by the master key; `None`: no second factor was begun.
    pub sealed_totp: Option<String>,
    totp_on: i64,
    /// The last step that was used: none is taken twice.
    pub totp_step: i64,
    operator: i64,
    blocked: i64,
    /// Invitations that are left to give.
    pub invitations: i64,
    pub created_ms: i64,
    pub login_ms: i64,
    /// When the person asked to be deleted.
    pub deleted_ms: Option<i64>,
}

record!(Person {
    id,
    email,
    email_proved,
    name,
    password,
    sealed_totp,
    totp_on,
    totp_step,
    operator,
    blocked,
    invitations,
    created_ms,
    login_ms,
    deleted_ms
});

impl Person {
    /// A second factor is asked for.
    pub fn has_totp(&self) -> bool {
        self.totp_on != 0
    }
    pub fn is_operator(&self) -> bool {
        self.operator != 0
    }
    /// The address is the person's beyond doubt, not only what somebody typed.
    pub fn has_proved_email(&self) -> bool {
        self.email_proved != 0
    }
    pub fn is_blocked(&self) -> bool {
        self.blocked != 0
    }
}

/// A namespace of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub namespace: Namespace,
    pub project: String,
    pub environment: String,
    pub role: Role,
}

macro_rules! select_person {
    ($where:literal) => {
        concat!(
            "SELECT id, email, email_proved, name, password, sealed_totp, totp_on, totp_step, operator, blocked,
               invitations, created_ms, login_ms, deleted_ms FROM people ",
            $where
        )
    };
}

/// The form in which addresses and names are compared.
pub fn key_of(text: &str) -> String {
    text.trim().to_lowercase()
}

impl Db {
    /// By e-mail address or name, in any case.
    pub async fn person_by_login(&self, login: &str) -> Result<Option<Person>, Error> {
        let found = query("people.by_login", select_person!("WHERE email_key = $1 OR name_key = $1 LIMIT 1"));
        found.bind(key_of(login)).read_first(self).await
    }

    pub async fn person(&self, id: &str) -> Result<Option<Person>, Error> {
        by_id(id).read_first(self).await
    }

    /// Notes a sign-in.
    pub async fn note_login(&self, person: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let note = query("people.login", "UPDATE people SET login_ms = $2 WHERE id = $1");
        note.bind(person).bind(now_ms()).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Uses a step of a second factor up; false when it, or a later one, was used before.
    pub async fn take_totp_step(&self, person: &str, step: i64) -> Result<bool, Error> {
        let mut tx = self.begin_unlocked().await?;
        let take =
            query("people.totp_step", "UPDATE people SET totp_step = $2 WHERE id = $1 AND totp_step < $2");
        let taken = take.bind(person).bind(step).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    /// Replaces a password's hash by one of newer parameters, unless the password changed meanwhile.
    pub async fn rehash(&self, person: &str, old: &str, new: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let rehash =
            query("people.rehash", "UPDATE people SET password = $3 WHERE id = $1 AND password = $2");
        rehash.bind(person).bind(old).bind(new).execute(&mut tx).await?;
        tx.commit().await
    }

    /// The living namespaces of a person, in the order of joining.
    pub async fn memberships(&self, person: &str) -> Result<Vec<Membership>, Error> {
        let rows = query(
            "members.of_person",
            "SELECT m.namespace, COALESCE(p.name, ''), n.environment, m.role FROM members m
             JOIN namespaces n ON n.namespace = m.namespace AND n.deleted_ms IS NULL
             LEFT JOIN projects p ON p.id = n.project
             WHERE m.person = $1 ORDER BY m.joined_ms, m.namespace",
        );
        let rows = rows.bind(person).read_all::<(String, String, String, String)>(self).await?;
        rows.into_iter().map(membership).collect()
    }

    /// The role of a person in a living namespace.
    pub async fn role(&self, namespace: &Namespace, person: &str) -> Result<Option<Role>, Error> {
        let row = query(
            "members.role",
            "SELECT m.role FROM members m
             JOIN namespaces n ON n.namespace = m.namespace AND n.deleted_ms IS NULL
             WHERE m.namespace = $1 AND m.person = $2",
        );
        let row = row.bind(namespace).bind(person).read_first::<(String,)>(self).await?;
        row.map(|(role,)| parse_role(&role)).transpose()
    }
}

/// A person in a transaction.
pub(crate) async fn find(tx: &mut Tx, id: &str) -> Result<Option<Person>, Error> {
    by_id(id).first(tx).await
}

fn by_id(id: &str) -> Query {
    query("people.get", select_person!("WHERE id = $1")).bind(id)
}

pub(crate) fn parse_role(role: &str) -> Result<Role, Error> {
    role.parse().map_err(|_| Error::Malformed { what: "role", text: role.to_owned() })
}

fn membership(row: (String, String, String, String)) -> Result<Membership, Error> {
    let (namespace, project, environment, role) = row;
    let namespace =
        namespace.parse().map_err(|_| Error::Malformed { what: "namespace", text: namespace.clone() })?;
    Ok(Membership { namespace, project, environment, role: parse_role(&role)? })
}
