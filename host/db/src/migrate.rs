//! The schema, one numbered file a step and database. Expand first, contract in a later release: the version before
//! must keep working.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::dialect::Tx;
use crate::{Db, Error};

/// A step, in the words of each database. One list, so that the numbers cannot drift apart.
struct Step {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        number: 1,
        name: "control",
        sqlite: include_str!("../migrations/sqlite/0001_control.sql"),
        postgres: include_str!("../migrations/postgres/0001_control.sql"),
    },
    Step {
        number: 2,
        name: "turns",
        sqlite: include_str!("../migrations/sqlite/0002_turns.sql"),
        postgres: include_str!("../migrations/postgres/0002_turns.sql"),
    },
    Step {
        number: 3,
        name: "accounts",
        sqlite: include_str!("../migrations/sqlite/0003_accounts.sql"),
        postgres: include_str!("../migrations/postgres/0003_accounts.sql"),
    },
    Step {
        number: 4,
        name: "usage",
        sqlite: include_str!("../migrations/sqlite/0004_usage.sql"),
        postgres: include_str!("../migrations/postgres/0004_usage.sql"),
    },
    Step {
        number: 5,
        name: "oidc",
        sqlite: include_str!("../migrations/sqlite/0005_oidc.sql"),
        postgres: include_str!("../migrations/postgres/0005_oidc.sql"),
    },
    Step {
        number: 6,
        name: "job_runs",
        sqlite: include_str!("../migrations/sqlite/0006_job_runs.sql"),
        postgres: include_str!("../migrations/postgres/0006_job_runs.sql"),
    },
    Step {
        number: 7,
        name: "config",
        sqlite: include_str!("../migrations/sqlite/0007_config.sql"),
        postgres: include_str!("../migrations/postgres/0007_config.sql"),
    },
    Step {
        number: 8,
        name: "blob",
        sqlite: include_str!("../migrations/sqlite/0008_blob.sql"),
        postgres: include_str!("../migrations/postgres/0008_blob.sql"),
    },
    Step {
        number: 9,
        name: "external",
        sqlite: include_str!("../migrations/sqlite/0009_external.sql"),
        postgres: include_str!("../migrations/postgres/0009_external.sql"),
    },
    Step {
        number: 10,
        name: "platform_keys",
        sqlite: include_str!("../migrations/sqlite/0010_platform_keys.sql"),
        postgres: include_str!("../migrations/postgres/0010_platform_keys.sql"),
    },
    Step {
        number: 11,
        name: "nodes",
        sqlite: include_str!("../migrations/sqlite/0011_nodes.sql"),
        postgres: include_str!("../migrations/postgres/0011_nodes.sql"),
    },
];

/// Excludes other migrations of the same database.
pub(crate) const LOCK: &str = "schema";

impl Db {
    /// Brings the schema up to date. Safe to call at each start, by several processes at once: one migrates and the
    /// others wait, then find nothing to do. All steps are one transaction. Builders do not migrate.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] for a database that a later version has migrated; it is left as it is.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut tx = self.begin(LOCK).await?;
        apply(&mut tx, newest()).await?;
        tx.commit_quietly().await
    }
}

/// The number of the last step that this version knows.
pub(crate) fn newest() -> i64 {
    STEPS.last().map_or(0, |step| step.number)
}

/// Runs the steps up to number `to` that were not run yet.
pub(crate) async fn apply(tx: &mut Tx, to: i64) -> Result<(), Error> {
    let text = |step: &Step| match tx {
        Tx::Sqlite(_) => step.sqlite,
        Tx::Postgres(_) => step.postgres,
    };
    let migrations = STEPS.iter().map(|step| {
        let name = Cow::Borrowed(step.name);
        Migration::new(step.number, name, MigrationType::Simple, text(step).into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Its own lock is none on SQLite; on PostgreSQL it is the session's, and an error leaves it locked in the pool. The
    // transaction excludes the others.
    migrator.set_locking(false);
    // `run` asks for a trait that a borrowed connection has for one lifetime only.
    let ran = match tx {
        Tx::Sqlite(tx) => migrator.run_direct(Some(to), &mut **tx, false).await,
        Tx::Postgres(tx) => migrator.run_direct(Some(to), &mut **tx, false).await,
    };
    ran.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > newest() => {
            Error::NewerSchema { found, known: newest() }
        }
        error => Error::Migrate(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::query;

    /// Of those who came before it, the log tells who proved their address.
    #[tokio::test]
    async fn proved_addresses_are_found_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let db =
            Db::connect(&format!("sqlite://{}", folder.path().join("control.db").display())).await.unwrap();
        let mut tx = db.begin(LOCK).await.unwrap();
        apply(&mut tx, 4).await.unwrap();
        for (id, operator, action, detail) in [
            ("code", 0, "person.signup", "by code"),
            ("openly", 0, "person.signup", "openly"),
            ("invited", 0, "person.signup", "by invitation"),
            ("moved", 0, "person.email", ""),
            ("reset", 0, "person.reset", ""),
            ("operator", 1, "person.reset", ""),
        ] {
            query(
                "test.people",
                "INSERT INTO people (id, email, email_key, name, name_key, password, totp_on, totp_step, operator,
                   blocked, invitations, created_ms, login_ms) VALUES ($1, $1, $1, $1, $1, '', 0, 0, $2, 0, 0, 0, 0)",
            )
            .bind(id)
            .bind(i64::from(operator))
            .execute(&mut tx)
            .await
            .unwrap();
            query(
                "test.audit",
                "INSERT INTO audit (id, at_ms, namespace, actor, actor_name, action, subject, address, detail)
                 VALUES ($1, 0, '', $1, $1, $2, $1, '', $3)",
            )
            .bind(id)
            .bind(action)
            .bind(detail)
            .execute(&mut tx)
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
        db.migrate().await.unwrap();
        let proved = query("test.proved", "SELECT id FROM people WHERE email_proved = 1 ORDER BY id");
        let proved: Vec<_> = proved.read_all::<(String,)>(&db).await.unwrap();
        assert_eq!(proved.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["code", "moved", "reset"]);
    }

    /// Files on disk and the list agree, and both folders hold the same numbers.
    #[test]
    fn each_file_is_a_step() {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        for folder in ["sqlite", "postgres"] {
            let path = std::path::Path::new(&package).join("migrations").join(folder);
            let mut found: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            let listed: Vec<String> =
                STEPS.iter().map(|step| format!("{:04}_{}.sql", step.number, step.name)).collect();
            assert_eq!(found, listed, "{folder}");
        }
    }
}
