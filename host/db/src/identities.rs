//! Accounts at a provider of single sign-on, and whom they sign in. Issuer and subject name one, for ever; an address
//! does not.

use serde::{Deserialize, Serialize};

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::people::{self, Person, key_of};
use crate::query::query;
use crate::row::record;
use crate::{Db, Error, Refusal, audit, now_ms};

/// Identities of one person.
pub const IDENTITIES_MAX: i64 = 10;

/// An identity that is linked to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub issuer: String,
    pub subject: String,
    pub person: String,
    /// What the provider said last; empty: nothing.
    pub email: String,
    pub created_ms: i64,
    pub used_ms: i64,
}

record!(Identity { id, issuer, subject, person, email, created_ms, used_ms });

/// Whom a provider named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewIdentity {
    pub issuer: String,
    pub subject: String,
    /// Empty: it named none.
    pub email: String,
}

impl Db {
    /// The identities of a person, oldest first.
    pub async fn identities(&self, person: &str) -> Result<Vec<Identity>, Error> {
        let found = query(
            "identities.of_person",
            "SELECT id, issuer, subject, person, email, created_ms, used_ms FROM identities
             WHERE person = $1 ORDER BY created_ms, id LIMIT $2",
        );
        found.bind(person).bind(IDENTITIES_MAX).read_all(self).await
    }

    /// The person whom an identity signs in.
    pub async fn person_of_identity(&self, identity: &NewIdentity) -> Result<Option<Person>, Error> {
        let owner = query("identities.owner", OWNER).bind(&identity.issuer).bind(&identity.subject);
        match owner.read_first::<(String,)>(self).await? {
            Some((person,)) => self.person(&person).await,
            None => Ok(None),
        }
    }

    /// Notes that an identity signed its person in.
    pub async fn use_identity(&self, identity: &NewIdentity) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query(
            "identities.use",
            "UPDATE identities SET used_ms = $3, email = $4 WHERE issuer = $1 AND subject = $2",
        )
        .bind(&identity.issuer)
        .bind(&identity.subject)
        .bind(now_ms())
        .bind(&identity.email)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    /// Links an identity to a person; false: it was linked to them before. Fails with [`Refusal::IdentityTaken`] when it
    /// is somebody else's.
    pub async fn link_identity(
        &self,
        person: &str,
        identity: &NewIdentity,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let mut tx = self.begin(person).await?;
        let linked = insert(&mut tx, person, identity, actor).await?;
        tx.commit().await?;
        Ok(linked)
    }

    /// As [`Db::link_identity`] because the provider's address, which it has verified, is the one that the person has
    /// proved. Fails with [`Refusal::NoPerson`] when it is not.
    pub async fn link_by_email(
        &self,
        person: &str,
        identity: &NewIdentity,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let mut tx = self.begin(person).await?;
        let row = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?;
        if !row.has_proved_email() || key_of(&row.email) != key_of(&identity.email) {
            return Err(Refusal::NoPerson.into());
        }
        let linked = insert(&mut tx, person, identity, actor).await?;
        tx.commit().await?;
        Ok(linked)
    }

    /// Unlinks an identity of a person. Fails with [`Refusal::LastIdentity`] when nothing else signs them in.
    pub async fn unlink_identity(&self, person: &str, id: &str, actor: &Actor) -> Result<(), Error> {
        let mut tx = self.begin(person).await?;
        let unlink = query("identities.unlink", "DELETE FROM identities WHERE id = $1 AND person = $2");
        if unlink.bind(id).bind(person).execute(&mut tx).await? == 0 {
            return Err(Refusal::NoIdentity.into());
        }
        let row = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?;
        if row.password.is_empty() && count(&mut tx, person).await? == 0 {
            return Err(Refusal::LastIdentity.into());
        }
        let entry = Entry { actor, namespace: "", action: "person.unlink", subject: &row.name, detail: "" };
        audit::write(&mut tx, entry).await?;
        tx.commit().await
    }
}

const OWNER: &str = "SELECT person FROM identities WHERE issuer = $1 AND subject = $2";

/// Links an identity in a transaction that holds the person's lock, or has just made the person.
pub(crate) async fn insert(
    tx: &mut Tx,
    person: &str,
    identity: &NewIdentity,
    actor: &Actor,
) -> Result<bool, Error> {
    let owner = query("identities.owner", OWNER).bind(&identity.issuer).bind(&identity.subject);
    match owner.first::<(String,)>(tx).await? {
        Some((owner,)) if owner == person => return Ok(false),
        Some(_) => return Err(Refusal::IdentityTaken.into()),
        None => {}
    }
    if count(tx, person).await? >= IDENTITIES_MAX {
        return Err(Error::TooMany { what: "identities of a person", max: IDENTITIES_MAX });
    }
    let inserted = query(
        "identities.insert",
        "INSERT INTO identities (id, issuer, subject, person, email, created_ms, used_ms)
         VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT DO NOTHING",
    );
    let inserted = inserted
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(&identity.issuer)
        .bind(&identity.subject)
        .bind(person)
        .bind(&identity.email)
        .bind(now_ms())
        .execute(tx)
        .await?;
    // Whoever linked it between the two statements is told by the key.
    if inserted == 0 {
        return Err(Refusal::IdentityTaken.into());
    }
    let (name, detail) = (&actor.name, &identity.issuer);
    audit::write(tx, Entry { actor, namespace: "", action: "person.link", subject: name, detail }).await?;
    Ok(true)
}

async fn count(tx: &mut Tx, person: &str) -> Result<i64, Error> {
    let count = query("identities.count", "SELECT COUNT(*) FROM identities WHERE person = $1");
    Ok(count.bind(person).first::<(i64,)>(tx).await?.map_or(0, |(count,)| count))
}
