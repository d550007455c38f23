//! Projects and their environments, which are namespaces. A namespace's name is never given twice: what is deleted
//! keeps its row.

use std::collections::HashSet;

use micro_api::Namespace;
use micro_api::auth::Role;
use micro_api::team::{Environment, Project};

use crate::audit::{Actor, Entry};
use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, Refusal, access, audit, config, external, now_ms, people, rules};

/// Namespaces that only the platform has. `default` is the operator's, and made by the platform.
pub const RESERVED: [&str; 9] =
    ["api", "www", "account", "admin", "web", "proxy", "micro", "default", "platform"];
/// The environment that a project begins with.
pub const FIRST_ENVIRONMENT: &str = "production";
/// Names that are tried for a namespace whose owner chose none.
const NAME_TRIES: usize = 16;
/// Environments that one list shows.
const LIST_MAX: i64 = 1_000;

/// How a person's new namespace comes to be.
pub struct Founding<'a> {
    /// Id of the person who will own it.
    pub owner: &'a str,
    pub plan: &'a str,
    /// Namespaces that a person may own.
    pub owned_max: i64,
    /// Makes a name for a namespace whose owner chose none.
    pub names: &'a (dyn Fn() -> String + Send + Sync),
    pub actor: &'a Actor,
}

impl Db {
    /// The projects of a person, in the order that they were made, with the environments that the person is a member
    /// of.
    pub async fn projects(&self, person: &str) -> Result<Vec<Project>, Error> {
        let rows = query(
            "projects.list",
            "SELECT p.id, p.name, p.description, p.repository, p.created_ms,
               n.namespace, n.environment, n.description, n.plan, n.created_ms, n.blocked, m.role
             FROM members m
             JOIN namespaces n ON n.namespace = m.namespace AND n.deleted_ms IS NULL
             JOIN projects p ON p.id = n.project
             WHERE m.person = $1 ORDER BY p.created_ms, p.id, n.created_ms, n.namespace LIMIT $2",
        );
        let mut projects: Vec<Project> = Vec::new();
        for row in rows.bind(person).bind(LIST_MAX).read_all::<ListRow>(self).await? {
            let (id, name, description, repository, created_ms, namespace, environment, about, ..) =
                row.clone();
            let (.., plan, made_ms, blocked, role) = row;
            let role = people::parse_role(&role)?;
            let blocked = blocked != 0;
            let environment = Environment {
                namespace,
                name: environment,
                description: about,
                plan,
                created_ms: made_ms,
                role,
                blocked,
            };
            match projects.last_mut().filter(|last| last.id == id) {
                Some(last) => last.environments.push(environment),
                None => projects.push(Project {
                    id,
                    name,
                    description,
                    repository,
                    environments: vec![environment],
                    created_ms,
                }),
            }
        }
        Ok(projects)
    }

    /// A project with its first environment. Fails with [`Refusal::ProjectTaken`] or [`Refusal::NamespacesMax`].
    pub async fn create_project(
        &self,
        founding: &Founding<'_>,
        name: &str,
        description: &str,
        repository: &str,
    ) -> Result<Project, Error> {
        let mut tx = self.begin(founding.owner).await?;
        check_owned(&mut tx, founding.owner, founding.owned_max).await?;
        let taken = query(
            "projects.taken",
            "SELECT p.id FROM members m JOIN namespaces n ON n.namespace = m.namespace AND n.deleted_ms IS NULL
             JOIN projects p ON p.id = n.project
             WHERE m.person = $1 AND LOWER(p.name) = LOWER($2) LIMIT 1",
        );
        if taken.bind(founding.owner).bind(name).first::<(String,)>(&mut tx).await?.is_some() {
            return Err(Refusal::ProjectTaken(name.to_owned()).into());
        }
        let project = insert_project(&mut tx, name, description, repository).await?;
        let environment = found(&mut tx, founding, &project.id, FIRST_ENVIRONMENT, "", None).await?;
        let entry = entry(founding.actor, &environment.namespace, "project.create", name);
        audit::write(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(Project { environments: vec![environment], ..project })
    }

    /// Another environment of a project, of which the person owns one. `wish`: the namespace's name, else one is made.
    pub async fn create_environment(
        &self,
        founding: &Founding<'_>,
        project: &str,
        name: &str,
        description: &str,
        wish: Option<&Namespace>,
    ) -> Result<Environment, Error> {
        let mut tx = self.begin(founding.owner).await?;
        tx.lock(project).await?;
        let environments = environments_of(&mut tx, project, founding.owner).await?;
        if !environments.iter().any(|environment| environment.role == Some(Role::Owner)) {
            let is_member = environments.iter().any(|environment| environment.role.is_some());
            return Err(match is_member {
                true => Refusal::OwnersOnly("the owners of the project's environments".to_owned()).into(),
                false => Refusal::NoProject.into(),
            });
        }
        if environments.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            return Err(Refusal::EnvironmentTaken(name.to_owned()).into());
        }
        check_owned(&mut tx, founding.owner, founding.owned_max).await?;
        let environment = found(&mut tx, founding, project, name, description, wish).await?;
        let entry = entry(founding.actor, &environment.namespace, "environment.create", name);
        audit::write(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(environment)
    }

    /// Ends every environment of a project, whose owner the person must be in each. The namespaces that ended: what
    /// runs in them is still to be stopped.
    pub async fn delete_project(
        &self,
        person: &str,
        project: &str,
        actor: &Actor,
    ) -> Result<Vec<Namespace>, Error> {
        let mut tx = self.begin(person).await?;
        tx.lock(project).await?;
        let environments = environments_of(&mut tx, project, person).await?;
        if !environments.iter().any(|environment| environment.role.is_some()) {
            return Err(Refusal::NoProject.into());
        }
        if let Some(other) = environments.iter().find(|known| known.role != Some(Role::Owner)) {
            let namespace =
                if other.role.is_some() { other.namespace.as_str() } else { "another environment" };
            return Err(Refusal::OwnersOnly(format!("the owners of {namespace}")).into());
        }
        let mut ended = Vec::new();
        for environment in &environments {
            refuse_reserved(&environment.namespace)?;
            tx.lock(&environment.namespace).await?;
            end(&mut tx, &environment.namespace, now_ms()).await?;
            config::forget(&mut tx, &environment.namespace).await?;
            audit::write(&mut tx, entry(actor, &environment.namespace, "namespace.delete", "")).await?;
            ended.push(parse(&environment.namespace)?);
        }
        audit::write(&mut tx, entry(actor, "", "project.delete", project)).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends a namespace, whose owner the person must be. What runs in it is still to be stopped.
    pub async fn delete_namespace(
        &self,
        person: &str,
        namespace: &Namespace,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(namespace.as_str()).await?;
        match role(&mut tx, namespace.as_str(), person).await? {
            None => return Err(Refusal::NoNamespace.into()),
            Some(Role::Owner) => {}
            Some(_) => return Err(Refusal::OwnersOnly(format!("the owners of {namespace}")).into()),
        }
        refuse_reserved(namespace.as_str())?;
        end(&mut tx, namespace.as_str(), now_ms()).await?;
        config::forget(&mut tx, namespace.as_str()).await?;
        audit::write(&mut tx, entry(actor, namespace.as_str(), "namespace.delete", "")).await?;
        tx.commit().await
    }

    /// Deleted namespaces in which versions are left: what was being stopped when a process ended.
    pub async fn ended_namespaces(&self) -> Result<Vec<Namespace>, Error> {
        let rows = query(
            "namespaces.ended",
            "SELECT n.namespace FROM namespaces n WHERE n.deleted_ms > 0
             AND EXISTS (SELECT 1 FROM versions v WHERE v.namespace = n.namespace) LIMIT $1",
        );
        let rows = rows.bind(LIST_MAX).read_all::<(String,)>(self).await?;
        rows.into_iter().map(|(name,)| parse(&name)).collect()
    }
}

type ListRow = (String, String, String, String, i64, String, String, String, String, i64, i64, String);

/// An environment of a project, and the role of somebody in it.
struct Known {
    namespace: String,
    name: String,
    role: Option<Role>,
}

async fn environments_of(tx: &mut Tx, project: &str, person: &str) -> Result<Vec<Known>, Error> {
    let rows = query(
        "namespaces.of_project",
        "SELECT n.namespace, n.environment, m.role FROM namespaces n
         LEFT JOIN members m ON m.namespace = n.namespace AND m.person = $2
         WHERE n.project = $1 AND n.deleted_ms IS NULL ORDER BY n.namespace",
    );
    let rows = rows.bind(project).bind(person).all::<(String, String, Option<String>)>(tx).await?;
    let known = rows.into_iter().map(|(namespace, name, role)| {
        let role = role.as_deref().map(people::parse_role).transpose()?;
        Ok(Known { namespace, name, role })
    });
    known.collect()
}

pub(crate) async fn insert_project(
    tx: &mut Tx,
    name: &str,
    description: &str,
    repository: &str,
) -> Result<Project, Error> {
    let (id, created_ms) = (uuid::Uuid::now_v7().to_string(), now_ms());
    query(
        "projects.insert",
        "INSERT INTO projects (id, name, description, repository, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&id)
    .bind(name)
    .bind(description)
    .bind(repository)
    .bind(created_ms)
    .execute(tx)
    .await?;
    Ok(Project {
        id,
        name: name.to_owned(),
        description: description.to_owned(),
        repository: repository.to_owned(),
        environments: Vec::new(),
        created_ms,
    })
}

/// A namespace with its owner and the rule that it begins with.
pub(crate) async fn found(
    tx: &mut Tx,
    founding: &Founding<'_>,
    project: &str,
    environment: &str,
    description: &str,
    wish: Option<&Namespace>,
) -> Result<Environment, Error> {
    let created_ms = now_ms();
    let fields = (project, environment, description, founding.plan, created_ms);
    let namespace = claim_name(tx, fields, founding.names, wish).await?;
    add_member(tx, &namespace, founding.owner, Role::Owner).await?;
    rules::insert_default(tx, &namespace).await?;
    Ok(Environment {
        namespace,
        name: environment.to_owned(),
        description: description.to_owned(),
        plan: founding.plan.to_owned(),
        created_ms,
        role: Role::Owner,
        blocked: false,
    })
}

/// Takes the wished name, or the first of the made ones that is free.
async fn claim_name(
    tx: &mut Tx,
    (project, environment, description, plan, created_ms): (&str, &str, &str, &str, i64),
    names: &(dyn Fn() -> String + Send + Sync),
    wish: Option<&Namespace>,
) -> Result<String, Error> {
    for _ in 0..NAME_TRIES {
        let name = wish.map_or_else(names, Namespace::to_string);
        let usable = is_free_to_choose(&name);
        let inserted = if usable {
            query(
                "namespaces.insert",
                "INSERT INTO namespaces (namespace, project, environment, description, plan, blocked, created_ms,
                   deleted_ms) VALUES ($1, $2, $3, $4, $5, 0, $6, NULL) ON CONFLICT (namespace) DO NOTHING",
            )
            .bind(&name)
            .bind(project)
            .bind(environment)
            .bind(description)
            .bind(plan)
            .bind(created_ms)
            .execute(tx)
            .await?
        } else {
            0
        };
        if inserted > 0 {
            return Ok(name);
        }
        if wish.is_some() {
            return Err(Refusal::NamespaceTaken(name).into());
        }
    }
    Err(Refusal::NoName.into())
}

/// A namespace's name is a DNS label that stands for nothing of the platform's. Without `--`, which divides the host
/// name `<service>--<namespace>`, and begins names that DNS encodes.
pub fn is_free_to_choose(name: &str) -> bool {
    name.parse::<Namespace>().is_ok() && !RESERVED.contains(&name) && !name.contains("--")
}

pub(crate) async fn add_member(tx: &mut Tx, namespace: &str, person: &str, role: Role) -> Result<u64, Error> {
    let added = query(
        "members.insert",
        "INSERT INTO members (namespace, person, role, joined_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (namespace, person) DO NOTHING",
    );
    let added = added.bind(namespace).bind(person).bind(role.as_str()).bind(now_ms()).execute(tx).await?;
    access::bump(tx).await?;
    Ok(added)
}

/// The role of a person in a living namespace.
pub(crate) async fn role(tx: &mut Tx, namespace: &str, person: &str) -> Result<Option<Role>, Error> {
    let row = query(
        "members.role",
        "SELECT m.role FROM members m
         JOIN namespaces n ON n.namespace = m.namespace AND n.deleted_ms IS NULL
         WHERE m.namespace = $1 AND m.person = $2",
    );
    let row = row.bind(namespace).bind(person).first::<(String,)>(tx).await?;
    row.map(|(role,)| people::parse_role(&role)).transpose()
}

/// Marks a namespace as deleted; its keys, accounts' sessions, invitations and blobs end at once.
pub(crate) async fn end(tx: &mut Tx, namespace: &str, now_ms: i64) -> Result<(), Error> {
    query(
        "namespaces.end",
        "UPDATE namespaces SET deleted_ms = $2 WHERE namespace = $1 AND deleted_ms IS NULL",
    )
    .bind(namespace)
    .bind(now_ms)
    .execute(tx)
    .await?;
    for end in [
        query("api_keys.of_namespace", "DELETE FROM api_keys WHERE namespace = $1"),
        query(
            "refresh_tokens.of_namespace",
            "DELETE FROM refresh_tokens WHERE session IN
               (SELECT id FROM sessions WHERE namespace = $1 AND account <> '')",
        ),
        query("sessions.of_namespace", "DELETE FROM sessions WHERE namespace = $1 AND account <> ''"),
        query("invitations.of_namespace", "DELETE FROM invitations WHERE namespace = $1"),
        query("blobs.of_namespace", "DELETE FROM blobs WHERE namespace = $1"),
        query("external_nodes.of_namespace", "DELETE FROM external_nodes WHERE namespace = $1"),
    ] {
        end.bind(namespace).execute(tx).await?;
    }
    external::bump(tx).await?;
    access::bump(tx).await
}

/// Fails when the person owns as many namespaces as one may.
pub(crate) async fn check_owned(tx: &mut Tx, person: &str, max: i64) -> Result<(), Error> {
    let owned = query(
        "members.owned",
        "SELECT n.namespace FROM members m JOIN namespaces n ON n.namespace = m.namespace
         WHERE m.person = $1 AND m.role = 'owner' AND n.deleted_ms IS NULL LIMIT $2",
    );
    let owned: HashSet<_> =
        owned.bind(person).bind(max.saturating_add(1)).all::<(String,)>(tx).await?.into_iter().collect();
    if i64::try_from(owned.len()).unwrap_or(i64::MAX) >= max {
        return Err(Refusal::NamespacesMax(max).into());
    }
    Ok(())
}

fn refuse_reserved(namespace: &str) -> Result<(), Error> {
    if RESERVED.contains(&namespace) {
        return Err(Refusal::OwnersOnly(format!("nobody: {namespace} belongs to the platform")).into());
    }
    Ok(())
}

pub(crate) fn parse(name: &str) -> Result<Namespace, Error> {
    name.parse().map_err(|_| Error::Malformed { what: "namespace", text: name.to_owned() })
}

fn entry<'a>(actor: &'a Actor, namespace: &'a str, action: &'static str, subject: &'a str) -> Entry<'a> {
    let subject = if subject.is_empty() { namespace } else { subject };
    Entry { actor, namespace, action, subject, detail: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_ambiguous_names_cannot_be_chosen() {
        for name in RESERVED.into_iter().chain(["a--b", "xn--abc", "", "A", "a.b", "-a", "a_b"]) {
            assert!(!is_free_to_choose(name), "{name}");
        }
        for name in ["a", "my-shop", "quiet-river-fox", "defaults"] {
            assert!(is_free_to_choose(name), "{name}");
        }
    }
}
