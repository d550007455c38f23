//! One query text for both databases: `$n` parameters, bound in order from a short list of portable types.

use micro_api::deployment::DeploymentState;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, FromRow, Postgres, Sqlite};

use crate::Error;
use crate::dialect::{Db, Tx};

/// A value that both databases store alike.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Text(String),
    OptionText(Option<String>),
    Int(i64),
    OptionInt(Option<i64>),
}

/// A statement, its name for errors, and its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    name: &'static str,
    sql: &'static str,
    args: Vec<Arg>,
}

/// `name` is `<table>.<verb>`.
pub(crate) fn query(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, args: Vec::new() }
}

/// A row type that both databases can decode.
pub(crate) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}
impl<T> Record for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl Query {
    pub(crate) fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Runs in a transaction; the number of rows changed.
    pub(crate) async fn execute(self, tx: &mut Tx) -> Result<u64, Error> {
        let fail = self.failed();
        match tx {
            Tx::Sqlite(tx) => {
                let query = sqlx::query_with::<Sqlite, _>(self.sql, self.sqlite()?);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(fail)
            }
            Tx::Postgres(tx) => {
                let query = sqlx::query_with::<Postgres, _>(self.sql, self.postgres()?);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(fail)
            }
        }
    }

    /// All rows, in a transaction.
    pub(crate) async fn all<T: Record>(self, tx: &mut Tx) -> Result<Vec<T>, Error> {
        let fail = self.failed();
        match tx {
            Tx::Sqlite(tx) => {
                let query = sqlx::query_as_with::<Sqlite, T, _>(self.sql, self.sqlite()?);
                query.fetch_all(&mut **tx).await.map_err(fail)
            }
            Tx::Postgres(tx) => {
                let query = sqlx::query_as_with::<Postgres, T, _>(self.sql, self.postgres()?);
                query.fetch_all(&mut **tx).await.map_err(fail)
            }
        }
    }

    /// The first row, in a transaction.
    pub(crate) async fn first<T: Record>(self, tx: &mut Tx) -> Result<Option<T>, Error> {
        Ok(self.all(tx).await?.into_iter().next())
    }

    /// All rows, outside a transaction.
    pub(crate) async fn read_all<T: Record>(self, db: &Db) -> Result<Vec<T>, Error> {
        let fail = self.failed();
        match db {
            Db::Sqlite { read, .. } => {
                let query = sqlx::query_as_with::<Sqlite, T, _>(self.sql, self.sqlite()?);
                query.fetch_all(read).await.map_err(fail)
            }
            Db::Postgres(pool) => {
                let query = sqlx::query_as_with::<Postgres, T, _>(self.sql, self.postgres()?);
                query.fetch_all(pool).await.map_err(fail)
            }
        }
    }

    /// The first row, outside a transaction.
    pub(crate) async fn read_first<T: Record>(self, db: &Db) -> Result<Option<T>, Error> {
        Ok(self.read_all(db).await?.into_iter().next())
    }

    fn failed(&self) -> impl FnOnce(sqlx::Error) -> Error + use<> {
        let doing = self.name;
        move |source| Error::Sql { doing, source }
    }

    fn sqlite(&self) -> Result<SqliteArguments, Error> {
        let mut arguments = SqliteArguments::default();
        for arg in &self.args {
            match arg {
                Arg::Text(text) => arguments.add(text.clone()),
                Arg::OptionText(text) => arguments.add(text.clone()),
                Arg::Int(int) => arguments.add(*int),
                Arg::OptionInt(int) => arguments.add(*int),
            }
            .map_err(|source| self.failed()(sqlx::Error::Encode(source)))?;
        }
        Ok(arguments)
    }

    fn postgres(&self) -> Result<PgArguments, Error> {
        let mut arguments = PgArguments::default();
        for arg in &self.args {
            match arg {
                Arg::Text(text) => arguments.add(text.clone()),
                Arg::OptionText(text) => arguments.add(text.clone()),
                Arg::Int(int) => arguments.add(*int),
                Arg::OptionInt(int) => arguments.add(*int),
            }
            .map_err(|source| self.failed()(sqlx::Error::Encode(source)))?;
        }
        Ok(arguments)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}
impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::OptionText(text)
    }
}
impl From<i64> for Arg {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}
impl From<Option<i64>> for Arg {
    fn from(int: Option<i64>) -> Self {
        Self::OptionInt(int)
    }
}
impl From<DeploymentState> for Arg {
    fn from(state: DeploymentState) -> Self {
        Self::Text(state.as_str().to_owned())
    }
}
impl From<&micro_api::Namespace> for Arg {
    fn from(namespace: &micro_api::Namespace) -> Self {
        Self::Text(namespace.to_string())
    }
}

#[cfg(test)]
impl Query {
    /// The database's plan for this query, a line a step. PostgreSQL scans a table only where no index can answer.
    pub(crate) async fn explained(self, db: &Db) -> Vec<String> {
        let failed = |source| Error::Sql { doing: "explain", source };
        match db {
            Db::Sqlite { read, .. } => {
                let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", self.sql));
                let plan =
                    sqlx::query_as_with::<Sqlite, (i64, i64, i64, String), _>(sql, self.sqlite().unwrap());
                let steps = plan.fetch_all(read).await.map_err(failed).unwrap();
                steps.into_iter().map(|step| step.3).collect()
            }
            Db::Postgres(pool) => {
                let mut tx = pool.begin().await.unwrap();
                // A small table is read whole and sorted: that it need not be is what the plan must show.
                for way in ["enable_seqscan", "enable_sort", "enable_bitmapscan"] {
                    let off = sqlx::AssertSqlSafe(format!("SET LOCAL {way} = off"));
                    sqlx::query(off).execute(&mut *tx).await.unwrap();
                }
                let sql = sqlx::AssertSqlSafe(format!("EXPLAIN {}", self.sql));
                let plan = sqlx::query_as_with::<Postgres, (String,), _>(sql, self.postgres().unwrap());
                let steps = plan.fetch_all(&mut *tx).await.map_err(failed).unwrap();
                steps.into_iter().map(|step| step.0).collect()
            }
        }
    }
}
