//! The schema, one numbered file a step and database. Expand first, contract in a later release: the version before
//! must keep working.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

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
];

impl Db {
    /// Brings the schema up to date. Safe to call at each start, by several processes at once on PostgreSQL; on SQLite
    /// by the one that owns the data folder: builders do not migrate.
    pub async fn migrate(&self) -> Result<(), Error> {
        let text = |step: &Step| match self {
            Self::Sqlite { .. } => step.sqlite,
            Self::Postgres(_) => step.postgres,
        };
        let migrations = STEPS.iter().map(|step| {
            let name = Cow::Borrowed(step.name);
            Migration::new(step.number, name, MigrationType::Simple, text(step).into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        match self {
            Self::Sqlite { write, .. } => migrator.run(write).await,
            Self::Postgres(pool) => migrator.run(pool).await,
        }
        .map_err(Error::Migrate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files on disk and the list agree, and both folders hold the same numbers.
    #[test]
    fn each_file_is_a_step() {
        for folder in ["sqlite", "postgres"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
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
