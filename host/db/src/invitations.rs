//! Invitations, to a namespace or to the platform. The code that was mailed proves the address; it works once.

use micro_api::Namespace;
use micro_api::auth::Role;
use micro_api::team::Invitation;

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::people::{Membership, key_of, parse_role};
use crate::query::{Query, query};
use crate::quota::{self, Counted};
use crate::row::record;
use crate::{Db, Error, Refusal, audit, now_ms, people, projects};

/// How long an invitation waits.
pub const INVITATION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Invitations that wait for one namespace at most.
pub const WAITING_MAX: i64 = 200;

/// An invitation to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewInvitation<'a> {
    /// SHA-256 of its code.
    pub digest: &'a str,
    pub email: &'a str,
    /// `None`: to the platform, with a namespace of one's own.
    pub namespace: Option<&'a Namespace>,
    pub role: Role,
    /// Id of the person who invites.
    pub invited_by: &'a str,
    /// The invitations that the person has had to give; `None`: without a count, as the operator.
    pub budget: Option<i64>,
}

/// An invitation that waits, as the rows have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: String,
    pub email: String,
    /// Empty: to the platform alone.
    pub namespace: String,
    pub role: String,
    /// Id of the person who invited.
    pub invited_by: String,
    /// Name of that person; empty: gone.
    pub inviter: String,
    pub created_ms: i64,
    pub expires_ms: i64,
}

record!(Waiting { id, email, namespace, role, invited_by, inviter, created_ms, expires_ms });

macro_rules! select_waiting {
    ($where:literal) => {
        concat!(
            "SELECT i.id, i.email, i.namespace, i.role, i.invited_by, COALESCE(p.name, '') AS inviter,
               i.created_ms, i.expires_ms
             FROM invitations i LEFT JOIN people p ON p.id = i.invited_by ",
            $where
        )
    };
}

impl Db {
    /// Makes an invitation, in place of one to the same address and namespace. Takes one of the person's budget, and
    /// fails with [`Refusal::NoInvitationsLeft`] when there is none.
    pub async fn invite(&self, new: &NewInvitation<'_>, actor: &Actor) -> Result<Invitation, Error> {
        let namespace = new.namespace.map_or("", Namespace::as_str);
        let mut tx = self.begin(if namespace.is_empty() { "invitations" } else { namespace }).await?;
        if !namespace.is_empty() {
            check_room(&mut tx, namespace, new.email).await?;
        }
        let id = uuid::Uuid::now_v7().to_string();
        let replaced = query(
            "invitations.replace",
            "DELETE FROM invitations WHERE email = $1 AND namespace = $2 AND invited_by = $3 AND expires_ms > $4",
        );
        let replaced = replaced.bind(key_of(new.email)).bind(namespace).bind(new.invited_by).bind(now_ms());
        if replaced.execute(&mut tx).await? == 0 {
            spend(&mut tx, new).await?;
        }
        let now = now_ms();
        query(
            "invitations.insert",
            "INSERT INTO invitations (id, digest, email, namespace, role, invited_by, created_ms, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&id)
        .bind(new.digest)
        .bind(key_of(new.email))
        .bind(namespace)
        .bind(new.role.as_str())
        .bind(new.invited_by)
        .bind(now)
        .bind(now + INVITATION_MS)
        .execute(&mut tx)
        .await?;
        let subject = key_of(new.email);
        let detail = new.role.to_string();
        let entry =
            Entry { actor, namespace, action: "invitation.create", subject: &subject, detail: &detail };
        audit::write(&mut tx, entry).await?;
        let made = by_id(&id, namespace).first::<Waiting>(&mut tx).await?.ok_or(Refusal::NoInvitation)?;
        tx.commit().await?;
        made.try_into()
    }

    /// The invitations of a namespace that wait, newest first.
    pub async fn invitations(&self, namespace: &Namespace) -> Result<Vec<Invitation>, Error> {
        let rows = query(
            "invitations.list",
            select_waiting!(
                "WHERE i.namespace = $1 AND i.expires_ms > $2 ORDER BY i.created_ms DESC, i.id LIMIT $3"
            ),
        );
        let rows = rows.bind(namespace).bind(now_ms()).bind(WAITING_MAX).read_all::<Waiting>(self).await?;
        rows.into_iter().map(Invitation::try_from).collect()
    }

    /// The invitation behind a code, if it waits.
    pub async fn invitation(&self, digest: &str) -> Result<Option<Waiting>, Error> {
        by_digest(digest).read_first(self).await
    }

    /// The newest invitation to a namespace that waits for an address. Only for whoever proved the address.
    pub async fn invitation_for(&self, email: &str) -> Result<Option<Waiting>, Error> {
        for_email(email).read_first(self).await
    }

    /// Withdraws an invitation; whoever gave it has it back.
    pub async fn withdraw_invitation(
        &self,
        namespace: &Namespace,
        id: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let found = by_id(id, namespace.as_str()).first::<Waiting>(&mut tx).await?;
        let found = found.ok_or_else(|| Refusal::NotInvited(id.to_owned()))?;
        remove(&mut tx, &found.id).await?;
        query(
            "people.refund",
            "UPDATE people SET invitations = invitations + 1 WHERE id = $1 AND operator = 0",
        )
        .bind(&found.invited_by)
        .execute(&mut tx)
        .await?;
        let (namespace, action) = (namespace.as_str(), "invitation.withdraw");
        audit::write(&mut tx, Entry { actor, namespace, action, subject: &found.email, detail: "" }).await?;
        tx.commit().await
    }

    /// Makes a person a member by an invitation. `members_max`: what the namespace's plan allows.
    pub async fn accept_invitation(
        &self,
        person: &str,
        digest: &str,
        members_max: impl Fn(&str) -> Option<i64> + Send,
        actor: &Actor,
    ) -> Result<Membership, Error> {
        let mut tx = self.begin_unlocked().await?;
        let waiting = by_digest(digest).first::<Waiting>(&mut tx).await?.ok_or(Refusal::NoInvitation)?;
        tx.lock(&waiting.namespace).await?;
        let person = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?;
        if key_of(&person.email) != waiting.email {
            return Err(Refusal::InvitationForOther.into());
        }
        if waiting.namespace.is_empty() {
            return Err(Refusal::EmailTaken.into());
        }
        let membership = join(&mut tx, &waiting, &person.id, members_max).await?;
        remove_used(&mut tx, &waiting.id).await?;
        let (namespace, detail) = (waiting.namespace.as_str(), waiting.role.as_str());
        let entry = Entry { actor, namespace, action: "member.join", subject: &person.name, detail };
        audit::write(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(membership)
    }
}

/// Adds a member as an invitation says, in a transaction that holds the namespace's lock. The caller removes the
/// invitation.
pub(crate) async fn join(
    tx: &mut Tx,
    waiting: &Waiting,
    person: &str,
    members_max: impl Fn(&str) -> Option<i64> + Send,
) -> Result<Membership, Error> {
    let row = query(
        "namespaces.joined",
        "SELECT COALESCE(p.name, ''), n.environment, n.plan FROM namespaces n LEFT JOIN projects p ON p.id = n.project
         WHERE n.namespace = $1 AND n.deleted_ms IS NULL",
    );
    let row = row.bind(&waiting.namespace).first::<(String, String, String)>(tx).await?;
    let (project, environment, plan) = row.ok_or(Refusal::NoInvitation)?;
    quota::check_count(tx, &waiting.namespace, Counted::Members, members_max(&plan)).await?;
    let role = parse_role(&waiting.role)?;
    if projects::add_member(tx, &waiting.namespace, person, role).await? == 0 {
        return Err(Refusal::AlreadyMember("you".to_owned()).into());
    }
    Ok(Membership { namespace: projects::parse(&waiting.namespace)?, project, environment, role })
}

pub(crate) fn by_digest(digest: &str) -> Query {
    let sql = select_waiting!("WHERE i.digest = $1 AND i.expires_ms > $2");
    query("invitations.by_digest", sql).bind(digest).bind(now_ms())
}

pub(crate) fn for_email(email: &str) -> Query {
    let sql = select_waiting!(
        "WHERE i.email = $1 AND i.namespace <> '' AND i.expires_ms > $2 ORDER BY i.created_ms DESC, i.id LIMIT 1"
    );
    query("invitations.for_email", sql).bind(key_of(email)).bind(now_ms())
}

/// The newest invitation that waits for an address: to a namespace, or else to the platform alone.
pub(crate) fn any_for_email(email: &str) -> Query {
    let sql = select_waiting!(
        "WHERE i.email = $1 AND i.expires_ms > $2
         ORDER BY CASE i.namespace WHEN '' THEN 1 ELSE 0 END, i.created_ms DESC, i.id LIMIT 1"
    );
    query("invitations.any_for_email", sql).bind(key_of(email)).bind(now_ms())
}

/// Removes an invitation that is being used; fails when somebody else was faster.
pub(crate) async fn remove_used(tx: &mut Tx, id: &str) -> Result<(), Error> {
    if remove(tx, id).await? == 0 { Err(Refusal::NoInvitation.into()) } else { Ok(()) }
}

async fn remove(tx: &mut Tx, id: &str) -> Result<u64, Error> {
    query("invitations.remove", "DELETE FROM invitations WHERE id = $1").bind(id).execute(tx).await
}

fn by_id(id: &str, namespace: &str) -> Query {
    let sql = select_waiting!("WHERE i.id = $1 AND i.namespace = $2 AND i.expires_ms > $3");
    query("invitations.get", sql).bind(id).bind(namespace).bind(now_ms())
}

/// The address is no member's yet, and the namespace has room for one that waits.
async fn check_room(tx: &mut Tx, namespace: &str, email: &str) -> Result<(), Error> {
    let member = query(
        "members.by_email",
        "SELECT m.person FROM people p JOIN members m ON m.person = p.id AND m.namespace = $2
         WHERE p.email_key = $1",
    );
    let member = member.bind(key_of(email)).bind(namespace).first::<(String,)>(tx).await?;
    if member.is_some() {
        return Err(Refusal::AlreadyMember(key_of(email)).into());
    }
    let waiting = query(
        "invitations.count",
        "SELECT COUNT(*) FROM invitations WHERE namespace = $1 AND expires_ms > $2",
    );
    let waiting = waiting.bind(namespace).bind(now_ms()).first::<(i64,)>(tx).await?;
    if waiting.is_some_and(|(waiting,)| waiting >= WAITING_MAX) {
        return Err(Error::TooMany { what: "invitations that wait", max: WAITING_MAX });
    }
    Ok(())
}

/// Takes one of the inviter's budget.
async fn spend(tx: &mut Tx, new: &NewInvitation<'_>) -> Result<(), Error> {
    let Some(budget) = new.budget else { return Ok(()) };
    let spent = query(
        "people.spend",
        "UPDATE people SET invitations = invitations - 1 WHERE id = $1 AND invitations > 0",
    );
    if spent.bind(new.invited_by).execute(tx).await? == 0 {
        return Err(Refusal::NoInvitationsLeft(budget).into());
    }
    Ok(())
}

impl TryFrom<Waiting> for Invitation {
    type Error = Error;
    fn try_from(waiting: Waiting) -> Result<Self, Error> {
        Ok(Self {
            role: parse_role(&waiting.role)?,
            id: waiting.id,
            email: waiting.email,
            namespace: waiting.namespace,
            invited_by: waiting.inviter,
            created_ms: waiting.created_ms,
            expires_ms: waiting.expires_ms,
            code: None,
        })
    }
}
