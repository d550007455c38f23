//! The schema of the store: made at the first start, and refused when it is newer than this program.

use sqlx::postgres::PgPool;

use super::super::Error;
use super::failure::failed;

const SCHEMA: &str = include_str!("schema.sql");
/// Of `schema.sql`.
const VERSION: i64 = 1;
/// Guards the making of the schema against another node that starts.
const SETUP_LOCK: i64 = 7_234_017;

/// Makes the schema where there is none; a role that may only read and write needs it to be there.
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
    if known {
        let found = sqlx::query_as::<_, (i64,)>("SELECT version FROM version").fetch_one(&mut *tx).await;
        let (found,) = found.map_err(failed)?;
        if found > VERSION {
            return Err(Error::Backend(format!(
                "the store's schema {schema} has version {found}, newer than this program's {VERSION}: update the \
                 program"
            )));
        }
        return Ok(());
    }
    // The name was checked: it is an identifier that needs no quotes.
    let make = format!("CREATE SCHEMA IF NOT EXISTS {schema};\n{SCHEMA}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}
