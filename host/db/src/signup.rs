//! Sign-up: a person, their project with its environment, and the namespace that they own, in one transaction.

use micro_api::Namespace;

use crate::audit::{Actor, Entry};
use crate::codes::{self, Code};
use crate::dialect::Tx;
use crate::identities::{self, NewIdentity};
use crate::invitations::{self, Waiting};
use crate::people::{self, Person, key_of};
use crate::projects::{self, FIRST_ENVIRONMENT, Founding};
use crate::query::query;
use crate::{Db, Error, Refusal, audit, now_ms};

/// Longest name of a person, and the shortest.
pub const NAME_MAX: usize = 39;
pub const NAME_MIN: usize = 3;
/// Names that are tried for a person who chose none.
const NAME_TRIES: usize = 20;
/// Those of a few, so that `jane` is followed by `jane-2`.
const NUMBERED: usize = 9;
/// What a derived name keeps of the address.
const DERIVED_MAX: usize = 24;
/// Begins what stands in the audit log for those who are gone.
const PSEUDONYM: &str = "person-";

/// Somebody who signs up.
#[derive(Debug, Clone, Copy)]
pub struct NewPerson<'a> {
    pub email: &'a str,
    /// Empty: made from the address.
    pub name: &'a str,
    /// Argon2id hash; empty: none yet, as for those whom a provider signs in.
    pub password: &'a str,
    /// Invitations to give.
    pub invitations: i64,
    /// The address that it comes from.
    pub address: &'a str,
}

/// What proves the e-mail address.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Nothing: the operator lets anybody in.
    None,
    Code(Code),
    /// An invitation.
    Invitation {
        /// SHA-256 of its code.
        digest: String,
        /// The code was mailed to the address, and nobody else has seen it.
        mailed: bool,
    },
    /// A provider's word that the address is this identity's, which is linked.
    Provider {
        identity: NewIdentity,
        /// Only somebody with an invitation may come; they join the namespace that it is for.
        invited: bool,
    },
}

impl Proof {
    /// Whether the address is proved.
    fn is_proof(&self) -> bool {
        match self {
            Self::None => false,
            Self::Code(_) | Self::Provider { .. } => true,
            Self::Invitation { mailed, .. } => *mailed,
        }
    }
}

/// Where a new person belongs.
pub struct Home<'a> {
    /// Join the namespace of the invitation instead of founding one.
    pub join: bool,
    /// Plan of a namespace that is founded.
    pub plan: &'a str,
    /// Makes a namespace's name.
    pub names: &'a (dyn Fn() -> String + Send + Sync),
    /// Members that a plan allows.
    pub members_max: &'a (dyn Fn(&str) -> Option<i64> + Send + Sync),
}

/// A person who has just signed up.
#[derive(Debug, Clone)]
pub struct SignedUp {
    pub person: Person,
    /// The namespace to show first.
    pub namespace: Namespace,
}

impl Db {
    /// Signs somebody up. All or nothing: a code or an invitation is used up only with success. Fails with
    /// [`Refusal::WrongCode`] or [`Refusal::NoInvitation`] before anything that would tell whether the address has an
    /// account.
    pub async fn sign_up(
        &self,
        new: &NewPerson<'_>,
        proof: &Proof,
        home: &Home<'_>,
    ) -> Result<SignedUp, Error> {
        let mut tx = self.begin_unlocked().await?;
        let mut invitation = None;
        match proof {
            Proof::None => {}
            Proof::Code(code) => {
                tx = codes::take(tx, std::slice::from_ref(code)).await?;
                if home.join {
                    invitation = invitations::for_email(new.email).first::<Waiting>(&mut tx).await?;
                }
            }
            Proof::Provider { invited: false, .. } => {}
            Proof::Provider { invited: true, .. } => {
                let waiting = invitations::any_for_email(new.email).first::<Waiting>(&mut tx).await?;
                invitation = Some(waiting.ok_or(Refusal::NotInvitedHere)?);
            }
            Proof::Invitation { digest, .. } => {
                let waiting = invitations::by_digest(digest).first::<Waiting>(&mut tx).await?;
                let waiting = waiting.ok_or(Refusal::NoInvitation)?;
                if waiting.email != key_of(new.email) {
                    return Err(Refusal::InvitationForOther.into());
                }
                invitation = Some(waiting);
            }
        }
        let (id, name) = insert_person(&mut tx, new, proof.is_proof()).await?;
        let actor = Actor { id: id.clone(), name: name.clone(), address: new.address.to_owned() };
        let join = home.join || matches!(proof, Proof::Provider { .. });
        let to_join = invitation.as_ref().filter(|waiting| join && !waiting.namespace.is_empty());
        let namespace = match to_join {
            Some(waiting) => {
                tx.lock(&waiting.namespace).await?;
                let joined = invitations::join(&mut tx, waiting, &id, home.members_max).await?;
                joined.namespace
            }
            None if home.join => return Err(Refusal::NoInvitation.into()),
            None => found_first(&mut tx, &actor, home).await?,
        };
        if let Some(waiting) = &invitation {
            invitations::remove_used(&mut tx, &waiting.id).await?;
        }
        let by = match proof {
            Proof::None => "openly",
            Proof::Code(_) => "by code",
            Proof::Invitation { .. } => "by invitation",
            Proof::Provider { .. } => "by single sign-on",
        };
        let entry = Entry {
            actor: &actor,
            namespace: namespace.as_str(),
            action: "person.signup",
            subject: &name,
            detail: by,
        };
        audit::write(&mut tx, entry).await?;
        if let Proof::Provider { identity, .. } = proof {
            identities::insert(&mut tx, &id, identity, &actor).await?;
        }
        let person = people::find(&mut tx, &id).await?.ok_or(Refusal::NoPerson)?;
        tx.commit().await?;
        Ok(SignedUp { person, namespace })
    }
}

async fn found_first(tx: &mut Tx, actor: &Actor, home: &Home<'_>) -> Result<Namespace, Error> {
    let founding =
        Founding { owner: &actor.id, plan: home.plan, owned_max: i64::MAX, names: home.names, actor };
    let project = projects::insert_project(tx, &actor.name, "", "").await?;
    let environment = projects::found(tx, &founding, &project.id, FIRST_ENVIRONMENT, "", None).await?;
    projects::parse(&environment.namespace)
}

/// Adds a person; their id and name.
async fn insert_person(tx: &mut Tx, new: &NewPerson<'_>, proved: bool) -> Result<(String, String), Error> {
    let id = uuid::Uuid::now_v7().to_string();
    for turn in 0..NAME_TRIES {
        let name = if new.name.is_empty() { derived_name(new.email, turn) } else { new.name.to_owned() };
        // A conflict may be over the address or the name.
        let inserted = query(
            "people.insert",
            "INSERT INTO people (id, email, email_key, name, name_key, password, sealed_totp, totp_on, totp_step,
               operator, blocked, invitations, created_ms, login_ms, deleted_ms, email_proved)
             VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, 0, 0, 0, $7, $8, 0, NULL, $9) ON CONFLICT DO NOTHING",
        );
        let inserted = inserted
            .bind(&id)
            .bind(new.email.trim())
            .bind(key_of(new.email))
            .bind(&name)
            .bind(key_of(&name))
            .bind(new.password)
            .bind(new.invitations)
            .bind(now_ms())
            .bind(i64::from(proved))
            .execute(tx)
            .await?;
        if inserted > 0 {
            return Ok((id, name));
        }
        if email_is_taken(tx, new.email).await? {
            return Err(Refusal::EmailTaken.into());
        }
        if !new.name.is_empty() {
            return Err(Refusal::NameTaken(name).into());
        }
    }
    Err(Refusal::NameTaken(derived_name(new.email, 0)).into())
}

pub(crate) async fn email_is_taken(tx: &mut Tx, email: &str) -> Result<bool, Error> {
    let taken = query("people.email_taken", "SELECT id FROM people WHERE email_key = $1");
    Ok(taken.bind(key_of(email)).first::<(String,)>(tx).await?.is_some())
}

/// Whether `name` can be a person's: 3 to 39 letters, digits, `-`, `_` and `.`, the first and last a letter or digit.
/// Never an `@`, so that no name is another one's address, and nothing that reads like a pseudonym.
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    (NAME_MIN..=NAME_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && !name.to_ascii_lowercase().starts_with(PSEUDONYM)
}

/// A name made from an address: `jane`, then `jane-2` and so on, at last with random letters.
fn derived_name(email: &str, turn: usize) -> String {
    let local = email.trim().split('@').next().unwrap_or_default().to_lowercase();
    let mut base = String::new();
    for letter in local.chars().take(DERIVED_MAX) {
        match letter {
            'a'..='z' | '0'..='9' => base.push(letter),
            _ if base.is_empty() || base.ends_with('-') => {}
            _ => base.push('-'),
        }
    }
    let mut base = base.trim_end_matches('-').to_owned();
    if base.len() < NAME_MIN || base.starts_with("person") {
        base = format!("user-{base}").trim_end_matches('-').to_owned();
    }
    match turn {
        0 => base,
        1..NUMBERED => format!("{base}-{}", turn + 1),
        _ => {
            let random = uuid::Uuid::new_v4().simple().to_string();
            format!("{base}-{}", random.get(..6).unwrap_or(&random))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_name_is_a_name() {
        for (email, name) in [
            ("jane.doe@example.com", "jane-doe"),
            ("JANE@example.com", "jane"),
            ("j@example.com", "user-j"),
            ("..@example.com", "user"),
            ("person-1a2b3c4d5e@example.com", "user-person-1a2b3c4d5e"),
            ("a+b+c@example.com", "a-b-c"),
            ("größe@example.com", "gr-e"),
            ("@", "user"),
        ] {
            assert_eq!(derived_name(email, 0), name);
            for turn in 0..NAME_TRIES {
                let name = derived_name(email, turn);
                assert!(is_name(&name), "{email} {turn}: {name}");
            }
        }
        assert_eq!(derived_name("jane@x", 1), "jane-2");
        assert!(is_name(&derived_name(&"x".repeat(300), 15)));
    }

    #[test]
    fn what_is_no_name() {
        for name in ["", "ab", "a@b.c", "-ab", "ab-", "a b", "jané", "person-0123456789", "Person-x"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(40)));
        for name in ["abc", "jane.doe", "a_b-c", "123"] {
            assert!(is_name(name), "{name}");
        }
    }
}
