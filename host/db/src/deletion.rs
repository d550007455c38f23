//! The end of a person's account. Credentials and namespaces that nobody else uses end at once; the row waits for a
//! while, in which the operator can bring it back; then nothing is left but a pseudonym in the audit log.

use micro_api::Namespace;

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::people::{self, key_of};
use crate::query::query;
use crate::{Db, Error, Refusal, audit, config, members, now_ms, projects, sessions};

/// How long a deleted account can be restored.
pub const GRACE_MS: i64 = 14 * 24 * 60 * 60 * 1_000;
/// People erased in one round; the next takes the rest.
const ROUND_MAX: i64 = 100;

impl Db {
    /// Deletes an account. Fails with [`Refusal::SoleOwner`] while it is the only owner of a namespace that others use.
    /// The namespaces that ended with it: what runs in them is still to be stopped.
    pub async fn delete_person(&self, person: &str, actor: &Actor) -> Result<Vec<Namespace>, Error> {
        let mut tx = self.begin(person).await?;
        let row = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?;
        let now = now_ms();
        let of = memberships(&mut tx, person).await?;
        // Always in the same order, so that two deletions cannot wait for each other.
        for namespace in &of {
            tx.lock(namespace).await?;
        }
        let (mut kept, mut ended) = (Vec::new(), Vec::new());
        for namespace in of {
            if members::has_other_owner(&mut tx, &namespace, person).await?
                || !is_owner(&mut tx, &namespace, person).await?
            {
                members::leave(&mut tx, &namespace, person).await?;
            } else if has_others(&mut tx, &namespace, person).await? {
                kept.push(namespace);
            } else {
                projects::end(&mut tx, &namespace, now).await?;
                ended.push(projects::parse(&namespace)?);
            }
        }
        if !kept.is_empty() {
            return Err(Refusal::SoleOwner(kept.join(", ")).into());
        }
        query("people.delete", "UPDATE people SET deleted_ms = $2 WHERE id = $1 AND deleted_ms IS NULL")
            .bind(person)
            .bind(now)
            .execute(&mut tx)
            .await?;
        for end in [
            query("api_keys.of_person", "DELETE FROM api_keys WHERE owner = $1"),
            query("invitations.of_person", "DELETE FROM invitations WHERE invited_by = $1"),
        ] {
            end.bind(person).execute(&mut tx).await?;
        }
        sessions::end_all(&mut tx, person, "").await?;
        let entry = Entry { actor, namespace: "", action: "person.delete", subject: &row.name, detail: "" };
        audit::write(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Erases the people whose time is over: address and name are free again, and the audit log has a pseudonym. How
    /// many went.
    pub async fn erase_people(&self, before_ms: i64) -> Result<usize, Error> {
        // Until now the namespaces that ended with a person could have come back.
        config::forget_ended(self, before_ms).await?;
        let due = query("people.due", "SELECT id FROM people WHERE deleted_ms <= $1 LIMIT $2");
        let due = due.bind(before_ms).bind(ROUND_MAX).read_all::<(String,)>(self).await?;
        let mut erased = 0;
        for (id,) in due {
            let mut tx = self.begin(&id).await?;
            let Some(person) = people::find(&mut tx, &id).await? else { continue };
            if person.deleted_ms.is_none_or(|deleted_ms| deleted_ms > before_ms) {
                continue;
            }
            audit::erase(&mut tx, &id, &[&person.name, &key_of(&person.email), &person.email]).await?;
            query("invitations.to_person", "DELETE FROM invitations WHERE email = $1")
                .bind(key_of(&person.email))
                .execute(&mut tx)
                .await?;
            for erase in [
                query("identities.erase", "DELETE FROM identities WHERE person = $1"),
                query("members.erase", "DELETE FROM members WHERE person = $1"),
                query("people.erase", "DELETE FROM people WHERE id = $1"),
            ] {
                erase.bind(&id).execute(&mut tx).await?;
            }
            tx.commit().await?;
            erased += 1;
        }
        Ok(erased)
    }
}

/// Brings a deleted account back, with the namespaces that ended with it. What ran in them was stopped, and keys stay
/// gone.
pub(crate) async fn restore(tx: &mut Tx, person: &str, deleted_ms: i64) -> Result<(), Error> {
    query(
        "namespaces.restore",
        "UPDATE namespaces SET deleted_ms = NULL WHERE deleted_ms = $2 AND namespace IN
           (SELECT namespace FROM members WHERE person = $1 AND role = 'owner')",
    )
    .bind(person)
    .bind(deleted_ms)
    .execute(tx)
    .await?;
    query("people.restore", "UPDATE people SET deleted_ms = NULL WHERE id = $1")
        .bind(person)
        .execute(tx)
        .await
        .map(drop)
}

async fn memberships(tx: &mut Tx, person: &str) -> Result<Vec<String>, Error> {
    let rows = query(
        "members.living",
        "SELECT n.namespace FROM members m JOIN namespaces n ON n.namespace = m.namespace
         WHERE m.person = $1 AND n.deleted_ms IS NULL ORDER BY n.namespace",
    );
    let rows = rows.bind(person).all::<(String,)>(tx).await?;
    Ok(rows.into_iter().map(|(namespace,)| namespace).collect())
}

async fn is_owner(tx: &mut Tx, namespace: &str, person: &str) -> Result<bool, Error> {
    Ok(projects::role(tx, namespace, person).await? == Some(micro_api::auth::Role::Owner))
}

async fn has_others(tx: &mut Tx, namespace: &str, person: &str) -> Result<bool, Error> {
    let others =
        query("members.others", "SELECT person FROM members WHERE namespace = $1 AND person <> $2 LIMIT 1");
    Ok(others.bind(namespace).bind(person).first::<(String,)>(tx).await?.is_some())
}
