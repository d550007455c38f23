//! What a person changes of themselves: name, password, address, second factor.

use crate::audit::{Actor, Entry};
use crate::bootstrap::OPERATOR_EMAIL;
use crate::codes::{self, Code};
use crate::dialect::Tx;
use crate::people::{self, Person, key_of};
use crate::query::query;
use crate::signup::email_is_taken;
use crate::{Db, Error, Refusal, access, audit, sessions};

impl Db {
    /// By e-mail address alone, in any case.
    pub async fn person_by_email(&self, email: &str) -> Result<Option<Person>, Error> {
        // A login that has an `@` is nobody's name.
        let found = self.person_by_login(email).await?;
        Ok(found.filter(|person| key_of(&person.email) == key_of(email)))
    }

    /// Gives a person another name, which is nobody's.
    pub async fn rename(&self, person: &str, name: &str, actor: &Actor) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let before = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?.name;
        let taken = query("people.name_taken", "SELECT id FROM people WHERE name_key = $1 AND id <> $2");
        let taken = taken.bind(key_of(name)).bind(person).first::<(String,)>(&mut tx).await?;
        if taken.is_some() {
            return Err(Refusal::NameTaken(name.to_owned()).into());
        }
        let rename = query("people.rename", "UPDATE people SET name = $2, name_key = $3 WHERE id = $1");
        // Whoever took it between the two statements is told by the index.
        match rename.bind(person).bind(name).bind(key_of(name)).execute(&mut tx).await {
            Ok(_) => {}
            Err(error) if error.is_unique_violation() => {
                return Err(Refusal::NameTaken(name.to_owned()).into());
            }
            Err(error) => return Err(error),
        }
        query("api_keys.rename_owner", "UPDATE api_keys SET owner_name = $2 WHERE owner = $1")
            .bind(person)
            .bind(name)
            .execute(&mut tx)
            .await?;
        audit::rename_actor(&mut tx, person, name).await?;
        audit::rename_subject(&mut tx, &before, name).await?;
        access::bump(&mut tx).await?;
        write(&mut tx, &Actor { name: name.to_owned(), ..actor.clone() }, "person.rename", name).await?;
        tx.commit().await
    }

    /// Sets a person's password and ends all sessions but `except`. Keys stay.
    pub async fn set_password(
        &self,
        person: &str,
        hash: &str,
        except: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        set_password(&mut tx, person, hash, except).await?;
        write(&mut tx, actor, "person.password", &actor.name).await?;
        tx.commit().await
    }

    /// As [`Db::set_password`] by a mailed code, for somebody who forgot the old one.
    pub async fn reset_password(&self, code: &Code, hash: &str, address: &str) -> Result<Person, Error> {
        let mut tx = codes::take(self.begin_unlocked().await?, std::slice::from_ref(code)).await?;
        let found = query("people.by_email", "SELECT id FROM people WHERE email_key = $1");
        let found = found.bind(key_of(&code.subject)).first::<(String,)>(&mut tx).await?;
        // The code was sent to the address of a person who is gone since, or waits for the end.
        let (id,) = found.ok_or(Refusal::WrongCode)?;
        let person = people::find(&mut tx, &id).await?.ok_or(Refusal::WrongCode)?;
        if person.deleted_ms.is_some() {
            return Err(Refusal::Deleted.into());
        }
        set_password(&mut tx, &person.id, hash, "").await?;
        // The operator's code was read from a terminal, and proves no address.
        let proved =
            query("people.prove", "UPDATE people SET email_proved = 1 WHERE id = $1 AND email <> $2");
        proved.bind(&person.id).bind(OPERATOR_EMAIL).execute(&mut tx).await?;
        let actor = Actor { id: person.id.clone(), name: person.name.clone(), address: address.to_owned() };
        write(&mut tx, &actor, "person.reset", &actor.name).await?;
        tx.commit().await?;
        Ok(person)
    }

    /// Moves a person to another address, which both codes have proved.
    pub async fn change_email(
        &self,
        person: &str,
        email: &str,
        codes: &[Code; 2],
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = codes::take(self.begin_unlocked().await?, codes).await?;
        if email_is_taken(&mut tx, email).await? {
            return Err(Refusal::EmailTaken.into());
        }
        let before = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?.email;
        let change = query(
            "people.change_email",
            "UPDATE people SET email = $2, email_key = $3, email_proved = 1 WHERE id = $1",
        );
        match change.bind(person).bind(email.trim()).bind(key_of(email)).execute(&mut tx).await {
            Ok(_) => {}
            Err(error) if error.is_unique_violation() => return Err(Refusal::EmailTaken.into()),
            Err(error) => return Err(error),
        }
        audit::rename_subject(&mut tx, &key_of(&before), &key_of(email)).await?;
        write(&mut tx, actor, "person.email", &actor.name).await?;
        tx.commit().await
    }

    /// Keeps the secret of a second factor that is being set up, of which no step was used yet. Fails with [`Refusal::TotpOn`] when there is one.
    pub async fn begin_totp(&self, person: &str, sealed: &str) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let begin = query(
            "people.begin_totp",
            "UPDATE people SET sealed_totp = $2, totp_step = 0 WHERE id = $1 AND totp_on = 0",
        );
        if begin.bind(person).bind(sealed).execute(&mut tx).await? == 0 {
            return Err(Refusal::TotpOn.into());
        }
        tx.commit().await
    }

    /// Switches the second factor on: `step` was proved, and is not taken again.
    pub async fn confirm_totp(&self, person: &str, step: i64, actor: &Actor) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        let confirm = query(
            "people.confirm_totp",
            "UPDATE people SET totp_on = 1, totp_step = $2
             WHERE id = $1 AND totp_on = 0 AND totp_step < $2 AND sealed_totp IS NOT NULL",
        );
        if confirm.bind(person).bind(step).execute(&mut tx).await? == 0 {
            return Err(Refusal::TotpOff.into());
        }
        write(&mut tx, actor, "person.totp", &actor.name).await?;
        tx.commit().await
    }

    /// Removes the second factor.
    pub async fn remove_totp(&self, person: &str, actor: &Actor) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query("people.remove_totp", "UPDATE people SET totp_on = 0, sealed_totp = NULL WHERE id = $1")
            .bind(person)
            .execute(&mut tx)
            .await?;
        write(&mut tx, actor, "person.totp_remove", &actor.name).await?;
        tx.commit().await
    }
}

async fn set_password(tx: &mut Tx, person: &str, hash: &str, except: &str) -> Result<(), Error> {
    let set = query("people.set_password", "UPDATE people SET password = $2 WHERE id = $1");
    if set.bind(person).bind(hash).execute(tx).await? == 0 {
        return Err(Refusal::NoPerson.into());
    }
    sessions::end_all(tx, person, except).await
}

async fn write(tx: &mut Tx, actor: &Actor, action: &'static str, subject: &str) -> Result<(), Error> {
    audit::write(tx, Entry { actor, namespace: "", action, subject, detail: "" }).await
}
