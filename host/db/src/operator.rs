//! What the operator of a platform sees and does: people, namespaces, blocks. Lists are read by their indexes, a page at
//! a time.

use micro_api::Namespace;
use micro_api::operator::{NamespaceStatus, Person as Listed};

use crate::audit::{Actor, Entry, PAGE_MAX, before};
use crate::people::{self, key_of};
use crate::query::{Query, query};
use crate::row::record;
use crate::{Db, Error, Refusal, access, audit, calendar, deletion, now_ms};

/// Follows all texts that begin alike: the greatest character.
const END: &str = "\u{10ffff}";

macro_rules! select_listed {
    ($where:literal) => {
        concat!(
            "SELECT p.id, p.name, p.email, p.operator,
               CASE WHEN p.blocked <> 0 OR p.deleted_ms IS NOT NULL THEN CAST(1 AS BIGINT)
                 ELSE CAST(0 AS BIGINT) END AS blocked,
               p.created_ms, p.login_ms,
               (SELECT COUNT(*) FROM members m WHERE m.person = p.id) AS namespaces
             FROM people p ",
            $where
        )
    };
}

macro_rules! select_status {
    ($($tail:tt)*) => {
        concat!(
            "SELECT n.namespace, n.plan, n.blocked, n.created_ms,
               (SELECT COUNT(DISTINCT v.service) FROM versions v WHERE v.namespace = n.namespace) AS services,
               (SELECT COUNT(*) FROM members m WHERE m.namespace = n.namespace) AS members,
               COALESCE(u.requests, CAST(0 AS BIGINT)) AS requests,
               COALESCE(u.cpu_ms, CAST(0 AS BIGINT)) AS cpu_ms ",
            $($tail)*
        )
    };
}
impl Db {
    /// People, newest first, at most [`PAGE_MAX`]; with `search` those whose address or name begins with it. `after`:
    /// the last id of the page before.
    pub async fn people(&self, search: &str, after: &str, limit: i64) -> Result<Vec<Listed>, Error> {
        let rows = if search.trim().is_empty() {
            people_page(after, limit)
        } else {
            people_search(search, after, limit)
        };
        let rows = rows.read_all::<PersonRow>(self).await?;
        Ok(rows.into_iter().map(Listed::from).collect())
    }

    /// One of [`Db::people`].
    pub async fn listed_person(&self, id: &str) -> Result<Option<Listed>, Error> {
        Ok(person_row(id).read_first::<PersonRow>(self).await?.map(Listed::from))
    }

    /// Living namespaces, those first that used most CPU time in the running month; with `search` those whose name
    /// begins with it, by name. `after`: the last name of the page before.
    pub async fn namespaces(
        &self,
        search: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<NamespaceStatus>, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let month = calendar::month_of(now_ms());
        if !search.trim().is_empty() {
            let rows =
                self.namespaces_search(search, after, month, limit).read_all::<StatusRow>(self).await?;
            return Ok(rows.into_iter().map(NamespaceStatus::from).collect());
        }
        let cost =
            query("usage_months.cost", "SELECT cpu_ms FROM usage_months WHERE namespace = $1 AND month = $2");
        let cost = cost.bind(after).bind(month).read_first::<(i64,)>(self).await?;
        let mut rows = match (after, cost) {
            ("", _) => costly("~", i64::MAX, month, limit).read_all::<StatusRow>(self).await?,
            (after, Some((cost,))) => costly(after, cost, month, limit).read_all::<StatusRow>(self).await?,
            (_, None) => Vec::new(),
        };
        // Behind those that used something come those that used nothing.
        let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
        if left > 0 {
            let from = if !after.is_empty() && cost.is_none() { after } else { "~" };
            rows.extend(idle(from, month, left).read_all::<StatusRow>(self).await?);
        }
        Ok(rows.into_iter().map(NamespaceStatus::from).collect())
    }

    /// One of [`Db::namespaces`].
    pub async fn namespace_status(&self, namespace: &Namespace) -> Result<Option<NamespaceStatus>, Error> {
        let month = calendar::month_of(now_ms());
        let row = status_row(namespace.as_str(), month).read_first::<StatusRow>(self).await?;
        Ok(row.map(NamespaceStatus::from))
    }

    /// Blocks a person or lets them go on: no credential of theirs counts while they are blocked. Letting go on also
    /// brings back an account that waits for its deletion, with the namespaces that ended with it.
    pub async fn set_person_blocked(
        &self,
        person: &str,
        blocked: bool,
        reason: &str,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut tx = self.begin(person).await?;
        let row = people::find(&mut tx, person).await?.ok_or(Refusal::NoPerson)?;
        let set = query("people.set_blocked", "UPDATE people SET blocked = $2 WHERE id = $1");
        set.bind(person).bind(i64::from(blocked)).execute(&mut tx).await?;
        let mut action = if blocked { "person.block" } else { "person.unblock" };
        if let Some(deleted_ms) = row.deleted_ms.filter(|_| !blocked) {
            deletion::restore(&mut tx, person, deleted_ms).await?;
            action = "person.restore";
        }
        access::bump(&mut tx).await?;
        let entry = Entry { actor, namespace: "", action, subject: &row.name, detail: reason };
        audit::write(&mut tx, entry).await?;
        tx.commit().await
    }

    /// By name, so that one finds what one looks for. Names are compared byte by byte, whatever the database's
    /// collation.
    pub(crate) fn namespaces_search(&self, search: &str, after: &str, month: i64, limit: i64) -> Query {
        macro_rules! by_name {
            ($name:literal) => {
                select_status!(
                    "FROM namespaces n LEFT JOIN usage_months u ON u.namespace = n.namespace AND u.month = $1",
                    " WHERE n.deleted_ms IS NULL AND ",
                    $name,
                    " >= $2 AND ",
                    $name,
                    " < $3 AND ",
                    $name,
                    " > $4 ORDER BY ",
                    $name,
                    " LIMIT $5"
                )
            };
        }
        let sql = match self {
            Self::Sqlite { .. } => by_name!("n.namespace"),
            Self::Postgres(_) => by_name!("n.namespace COLLATE \"C\""),
        };
        let search = key_of(search);
        query("namespaces.search", sql)
            .bind(month)
            .bind(&search)
            .bind(format!("{search}{END}"))
            .bind(after)
            .bind(limit)
    }
}

pub(crate) fn people_page(after: &str, limit: i64) -> Query {
    query("people.page", select_listed!("WHERE p.id < $1 ORDER BY p.id DESC LIMIT $2"))
        .bind(before(after))
        .bind(limit.clamp(1, PAGE_MAX))
}

pub(crate) fn people_search(search: &str, after: &str, limit: i64) -> Query {
    let search = key_of(search);
    query(
        "people.search",
        select_listed!(
            "WHERE p.id IN (
               SELECT e.id FROM people e WHERE e.email_key >= $1 AND e.email_key < $2
               UNION SELECT k.id FROM people k WHERE k.name_key >= $1 AND k.name_key < $2)
             AND p.id < $3 ORDER BY p.id DESC LIMIT $4"
        ),
    )
    .bind(&search)
    .bind(format!("{search}{END}"))
    .bind(before(after))
    .bind(limit.clamp(1, PAGE_MAX))
}

fn person_row(id: &str) -> Query {
    query("people.listed", select_listed!("WHERE p.id = $1")).bind(id)
}

/// Namespaces that used something in `month`, from those on that used less than (`cost`, `after`).
pub(crate) fn costly(after: &str, cost: i64, month: i64, limit: i64) -> Query {
    query(
        "namespaces.costly",
        select_status!(
            "FROM usage_months u JOIN namespaces n ON n.namespace = u.namespace AND n.deleted_ms IS NULL
             WHERE u.month = $1 AND (u.cpu_ms, u.namespace) < ($2, $3)
             ORDER BY u.cpu_ms DESC, u.namespace DESC LIMIT $4"
        ),
    )
    .bind(month)
    .bind(cost)
    .bind(after)
    .bind(limit)
}

/// Namespaces that used nothing in `month`, by name, backwards. The `+` keeps SQLite from the index over `deleted_ms`,
/// with which it would have to sort.
pub(crate) fn idle(after: &str, month: i64, limit: i64) -> Query {
    query(
        "namespaces.idle",
        select_status!(
            "FROM namespaces n LEFT JOIN usage_months u ON u.namespace = n.namespace AND u.month = $1
             WHERE n.namespace < $2 AND +n.deleted_ms IS NULL AND u.namespace IS NULL
             ORDER BY n.namespace DESC LIMIT $3"
        ),
    )
    .bind(month)
    .bind(after)
    .bind(limit)
}

fn status_row(namespace: &str, month: i64) -> Query {
    query(
        "namespaces.status",
        select_status!(
            "FROM namespaces n LEFT JOIN usage_months u ON u.namespace = n.namespace AND u.month = $1
             WHERE n.namespace = $2 AND n.deleted_ms IS NULL"
        ),
    )
    .bind(month)
    .bind(namespace)
}

#[derive(Debug)]
struct PersonRow {
    id: String,
    name: String,
    email: String,
    operator: i64,
    blocked: i64,
    created_ms: i64,
    login_ms: i64,
    namespaces: i64,
}

record!(PersonRow { id, name, email, operator, blocked, created_ms, login_ms, namespaces });

impl From<PersonRow> for Listed {
    fn from(row: PersonRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            email: row.email,
            operator: row.operator != 0,
            blocked: row.blocked != 0,
            created_ms: row.created_ms,
            login_ms: row.login_ms,
            namespaces: row.namespaces,
        }
    }
}

#[derive(Debug)]
struct StatusRow {
    namespace: String,
    plan: String,
    blocked: i64,
    created_ms: i64,
    services: i64,
    members: i64,
    requests: i64,
    cpu_ms: i64,
}

record!(StatusRow { namespace, plan, blocked, created_ms, services, members, requests, cpu_ms });

impl From<StatusRow> for NamespaceStatus {
    fn from(row: StatusRow) -> Self {
        Self {
            namespace: row.namespace,
            plan: row.plan,
            blocked: row.blocked != 0,
            services: row.services,
            members: row.members,
            requests: row.requests,
            cpu_ms: row.cpu_ms,
            created_ms: row.created_ms,
        }
    }
}
