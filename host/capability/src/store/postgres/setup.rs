//! The schema of the store: made at the first start, and refused when it is newer than this program.

use sqlx::postgres::PgPool;

use super::super::Error;
use super::failure::failed;

/// What each version adds; the last statement of each says which one it is.
const VERSIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("atomic.sql")];
/// The newest.
const VERSION: i64 = VERSIONS.len() as i64;
/// Guards the making of the schema against another node that starts.
const SETUP_LOCK: i64 = 7_234_017;

/// Makes the schema where there is none, and brings an older one up to date. A role that may only read and write needs it
/// to be there and new.
pub(super) async fn set_up(pool: &PgPool, schema: &str) -> Result<(), Error> {
    let mut tx = pool.begin().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SETUP_LOCK)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let known = sqlx::query_as::<_, (bool,)>(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'version')",
    );
    let (known,) = known.bind(schema).fetch_one(&mut *tx).await.map_err(failed)?;
    let mut found = 0;
    if known {
        let version = sqlx::query_as::<_, (i64,)>("SELECT version FROM version").fetch_one(&mut *tx).await;
        (found,) = version.map_err(failed)?;
    } else {
        // The name was checked: it is an identifier that needs no quotes.
        let make = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *tx).await.map_err(failed)?;
    }
    if found > VERSION {
        return Err(Error::Backend(format!(
            "the store's schema {schema} has version {found}, newer than this program's {VERSION}: update the program"
        )));
    }
    for version in VERSIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*version).execute(&mut *tx).await.map_err(failed)?;
    }
    tx.commit().await.map_err(failed)
}
