//! Who is in a namespace. It always has an owner: all changes of a namespace's members exclude each other, and none
//! takes the last one away.

use micro_api::Namespace;
use micro_api::auth::Role;
use micro_api::team::Member;

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, Refusal, access, audit, people, projects};

/// Members that one list shows.
const LIST_MAX: i64 = 1_000;

impl Db {
    /// The members of a namespace, in the order of joining.
    pub async fn members(&self, namespace: &Namespace) -> Result<Vec<Member>, Error> {
        let rows = query(
            "members.list",
            "SELECT p.id, p.name, p.email, m.role, m.joined_ms FROM members m
             JOIN people p ON p.id = m.person
             WHERE m.namespace = $1 ORDER BY m.joined_ms, p.id LIMIT $2",
        );
        let rows = rows.bind(namespace).bind(LIST_MAX);
        let rows = rows.read_all::<(String, String, String, String, i64)>(self).await?;
        let members = rows.into_iter().map(|(id, name, email, role, joined_ms)| {
            Ok(Member { id, name, email, role: people::parse_role(&role)?, joined_ms })
        });
        members.collect()
    }

    /// Gives a member another role. Keys of the member's that could do more than the new role end. Fails with
    /// [`Refusal::LastOwner`] when the namespace would be without an owner.
    pub async fn change_role(
        &self,
        namespace: &Namespace,
        person: &str,
        role: Role,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let before = projects::role(&mut tx, namespace.as_str(), person).await?.ok_or(Refusal::NoMember)?;
        if before == role {
            return Ok(());
        }
        if before == Role::Owner {
            check_other_owner(&mut tx, namespace.as_str(), person).await?;
        }
        query("members.change", "UPDATE members SET role = $3 WHERE namespace = $1 AND person = $2")
            .bind(namespace)
            .bind(person)
            .bind(role.as_str())
            .execute(&mut tx)
            .await?;
        if role < before {
            end_greater_keys(&mut tx, namespace, person, role).await?;
        }
        access::bump(&mut tx).await?;
        let detail = format!("{before} to {role}");
        write(&mut tx, actor, namespace, "member.change", person, &detail).await?;
        tx.commit().await
    }

    /// Takes a member out, or lets one leave; keys that the member made there end. Fails with [`Refusal::LastOwner`]
    /// for the last owner.
    pub async fn remove_member(
        &self,
        namespace: &Namespace,
        person: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        let role = projects::role(&mut tx, namespace.as_str(), person).await?.ok_or(Refusal::NoMember)?;
        if role == Role::Owner {
            check_other_owner(&mut tx, namespace.as_str(), person).await?;
        }
        leave(&mut tx, namespace.as_str(), person).await?;
        let action = if actor.id == person { "member.leave" } else { "member.remove" };
        write(&mut tx, actor, namespace, action, person, &role.to_string()).await?;
        tx.commit().await
    }
}

/// Ends a membership and the keys that came of it.
pub(crate) async fn leave(tx: &mut Tx, namespace: &str, person: &str) -> Result<(), Error> {
    for leave in [
        query("members.leave", "DELETE FROM members WHERE namespace = $1 AND person = $2"),
        query("api_keys.of_member", "DELETE FROM api_keys WHERE namespace = $1 AND owner = $2"),
    ] {
        leave.bind(namespace).bind(person).execute(tx).await?;
    }
    access::bump(tx).await
}

/// Whether `namespace` has an owner beside `person`. The namespace is locked.
pub(crate) async fn has_other_owner(tx: &mut Tx, namespace: &str, person: &str) -> Result<bool, Error> {
    let other = query(
        "members.other_owner",
        "SELECT person FROM members WHERE namespace = $1 AND person <> $2 AND role = 'owner' LIMIT 1",
    );
    Ok(other.bind(namespace).bind(person).first::<(String,)>(tx).await?.is_some())
}

async fn check_other_owner(tx: &mut Tx, namespace: &str, person: &str) -> Result<(), Error> {
    if has_other_owner(tx, namespace, person).await? {
        return Ok(());
    }
    Err(Refusal::LastOwner(namespace.to_owned()).into())
}

/// Ends the keys of a member that hold a greater role than `role`, or a named scope: those an owner gave.
async fn end_greater_keys(tx: &mut Tx, namespace: &Namespace, person: &str, role: Role) -> Result<(), Error> {
    let keys =
        query("api_keys.scopes", "SELECT id, scopes FROM api_keys WHERE namespace = $1 AND owner = $2");
    for (id, scopes) in keys.bind(namespace).bind(person).all::<(String, String)>(tx).await? {
        let scopes: Vec<String> = serde_json::from_str(&scopes).unwrap_or_default();
        let within = |scope: &String| scope.parse::<Role>().is_ok_and(|held| held <= role);
        if scopes.is_empty() || !scopes.iter().all(within) {
            query("api_keys.end", "DELETE FROM api_keys WHERE id = $1").bind(&id).execute(tx).await?;
        }
    }
    Ok(())
}

async fn write(
    tx: &mut Tx,
    actor: &Actor,
    namespace: &Namespace,
    action: &'static str,
    subject: &str,
    detail: &str,
) -> Result<(), Error> {
    // The name reads better than the id; it is erased with the person.
    let name = people::find(tx, subject).await?.map_or_else(|| subject.to_owned(), |person| person.name);
    audit::write(tx, Entry { actor, namespace: namespace.as_str(), action, subject: &name, detail }).await
}
