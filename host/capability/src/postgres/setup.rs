//! A schema of ours: made at the first start, and refused when it is newer than this program.

use sqlx::postgres::PgPool;

use super::failure::failed;
use crate::store::Error;

/// Guards the making of the schema against another node that starts.
const SETUP_LOCK: i64 = 7_234_017;

/// Makes the schema where there is none, and brings an older one up to date. A role that may only read and write needs it
/// to be there and new. `versions` says what each version adds; the last statement of each says which one it is.
pub(super) async fn set_up(
    pool: &PgPool,
    schema: &str,
    versions: &'static [&'static str],
) -> Result<(), Error> {
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
    let newest = i64::try_from(versions.len()).unwrap_or(i64::MAX);
    if found > newest {
        return Err(Error::Backend(format!(
            "the schema {schema} has version {found}, newer than this program's {newest}: update the program"
        )));
    }
    for version in versions.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*version).execute(&mut *tx).await.map_err(failed)?;
    }
    tx.commit().await.map_err(failed)
}
