//! The control data, whole: as it was at one moment, and into a database that has nothing yet.
//!
//! A copy is rows, not pages of a file: each is a JSON array of texts, integers and nulls, in the order of the table's
//! columns. So one form serves both databases, and what was on SQLite can go on in PostgreSQL.

use futures::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use crate::dialect::Tx;
use crate::query::query;
use crate::{Db, Error, migrate};

/// Rows of one statement when a table is filled.
pub const BATCH_ROWS: usize = 500;

/// A table, with its columns in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns' names.
    pub columns: Vec<String>,
}

/// The control data as it was at one moment, while others go on writing.
#[derive(Debug)]
pub struct Snapshot {
    tx: Tx,
    schema: i64,
}

impl Db {
    /// Holds on to this moment, until the value is dropped.
    ///
    /// # Errors
    /// [`Error::NoSchema`] and [`Error::NewerSchema`]: nothing is migrated here.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let failed = |source| Error::Sql { doing: "begin", source };
        let mut tx = match self {
            Self::Sqlite { read, .. } => Tx::Sqlite(read.begin().await.map_err(failed)?),
            Self::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Tx::Postgres(pool.begin_with(begin).await.map_err(failed)?)
            }
        };
        // The first read fixes the moment, on both.
        let schema = schema(&mut tx).await?.ok_or(Error::NoSchema)?;
        if schema > migrate::newest() {
            return Err(Error::NewerSchema { found: schema, known: migrate::newest() });
        }
        Ok(Snapshot { tx, schema })
    }

    /// Makes the tables of schema `schema` in a database that has none, to be filled. Nobody else sees them before
    /// [`Filling::commit`].
    ///
    /// # Errors
    /// [`Error::NotEmpty`], and [`Error::NewerSchema`] for a schema that this version does not know.
    pub async fn fill(&self, schema: i64) -> Result<Filling, Error> {
        if schema > migrate::newest() {
            return Err(Error::NewerSchema { found: schema, known: migrate::newest() });
        }
        let mut tx = self.begin(migrate::LOCK).await?;
        if self::schema(&mut tx).await?.is_some() {
            return Err(Error::NotEmpty);
        }
        migrate::apply(&mut tx, schema).await?;
        let columns = columns(&mut tx).await?;
        let mut filling = Filling { tx, columns };
        // Some steps bring rows of their own.
        for table in filling.tables() {
            let clear = format!("DELETE FROM {}", quoted(&table.name)?);
            filling.run("copy.clear", clear, None).await?;
        }
        Ok(filling)
    }

    /// As if a later version had migrated this database: for tests.
    #[doc(hidden)]
    pub async fn pretend_newer_schema(&self) -> Result<(), Error> {
        let mut tx = self.begin_unlocked().await?;
        query(
            "test.newer",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             SELECT 9999, 'later', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1",
        )
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }
}

impl Snapshot {
    /// The number of the schema's last step.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// All tables.
    pub async fn tables(&mut self) -> Result<Vec<Table>, Error> {
        Ok(tables(&columns(&mut self.tx).await?))
    }

    /// Hands each row of `table` to `each`, as JSON without line breaks.
    pub async fn rows<E: From<Error>>(
        &mut self,
        table: &Table,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| E::from(Error::Sql { doing: "copy.read", source });
        let array = match &self.tx {
            Tx::Sqlite(_) => "json_array",
            Tx::Postgres(_) => "json_build_array",
        };
        let sql =
            format!("SELECT CAST({array}({}) AS TEXT) FROM {}", list(&table.columns)?, quoted(&table.name)?);
        let sql = AssertSqlSafe(sql);
        match &mut self.tx {
            Tx::Sqlite(tx) => {
                let mut rows = sqlx::query_scalar::<Sqlite, String>(sql).fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(failed)? {
                    each(&row)?;
                }
            }
            Tx::Postgres(tx) => {
                let mut rows = sqlx::query_scalar::<Postgres, String>(sql).fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(failed)? {
                    each(&row)?;
                }
            }
        }
        Ok(())
    }

    /// Ids of all uploads.
    pub async fn uploads(&mut self) -> Result<Vec<String>, Error> {
        let ids = query("uploads.list", "SELECT id FROM uploads ORDER BY id").all::<(String,)>(&mut self.tx);
        Ok(ids.await?.into_iter().map(|(id,)| id).collect())
    }

    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }
}

/// Tables that are being filled. Dropping it leaves the database without them.
#[derive(Debug)]
pub struct Filling {
    tx: Tx,
    columns: Vec<Column>,
}

impl Filling {
    /// All tables; each of them is empty.
    pub fn tables(&self) -> Vec<Table> {
        tables(&self.columns)
    }

    /// Adds up to [`BATCH_ROWS`] rows, as [`Snapshot::rows`] gave them; `table` tells the order of their columns.
    ///
    /// # Errors
    /// [`Error::Copy`] unless the table and the rows are what the schema has.
    pub async fn insert(&mut self, table: &Table, rows: &[String]) -> Result<(), Error> {
        let sorted = |table: &Table| {
            let mut columns = table.columns.clone();
            columns.sort();
            columns
        };
        let own = tables(&self.columns).into_iter().find(|own| own.name == table.name);
        if own.is_none_or(|own| sorted(&own) != sorted(table)) {
            return Err(Error::Copy(format!("the schema has no table {} with these columns", table.name)));
        }
        for row in rows {
            check(table, row)?;
        }
        let values: Vec<_> =
            table.columns.iter().enumerate().map(|(n, name)| self.value(&table.name, name, n)).collect();
        let from = match &self.tx {
            Tx::Sqlite(_) => "json_each($1) AS t",
            Tx::Postgres(_) => "json_array_elements(CAST($1 AS JSON)) AS t(value)",
        };
        let (name, columns) = (quoted(&table.name)?, list(&table.columns)?);
        let sql = format!("INSERT INTO {name} ({columns}) SELECT {} FROM {from}", values.join(", "));
        self.run("copy.insert", sql, Some(format!("[{}]", rows.join(",")))).await
    }

    /// All of it is there from now on.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await
    }

    /// The `n`th part of a row, as what the column holds.
    fn value(&self, table: &str, column: &str, n: usize) -> String {
        let kind = self.columns.iter().find(|known| known.0 == table && known.1 == column);
        let kind = if kind.is_some_and(|known| known.2 == "bigint") { "BIGINT" } else { "TEXT" };
        format!("CAST(t.value ->> {n} AS {kind})")
    }

    async fn run(&mut self, doing: &'static str, sql: String, rows: Option<String>) -> Result<(), Error> {
        let failed = |source| Error::Sql { doing, source };
        let sql = AssertSqlSafe(sql);
        match &mut self.tx {
            Tx::Sqlite(tx) => {
                let query = sqlx::query::<Sqlite>(sql);
                let query = if let Some(rows) = rows { query.bind(rows) } else { query };
                query.execute(&mut **tx).await.map(drop).map_err(failed)
            }
            Tx::Postgres(tx) => {
                let query = sqlx::query::<Postgres>(sql);
                let query = if let Some(rows) = rows { query.bind(rows) } else { query };
                query.execute(&mut **tx).await.map(drop).map_err(failed)
            }
        }
    }
}

/// (table, column, type)
type Column = (String, String, String);

/// The number of the last step that was run; none where there never was one.
async fn schema(tx: &mut Tx) -> Result<Option<i64>, Error> {
    let known = query(
        "schema.known",
        match tx {
            Tx::Sqlite(_) => "SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Tx::Postgres(_) => {
                "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
                 WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'"
            }
        },
    );
    if known.first::<(String,)>(tx).await?.is_none() {
        return Ok(None);
    }
    let last = query("schema.last", "SELECT MAX(version) FROM _sqlx_migrations");
    Ok(last.first::<(Option<i64>,)>(tx).await?.and_then(|(last,)| last))
}

/// Every column of every table but the one in which sqlx keeps its books, in order.
async fn columns(tx: &mut Tx) -> Result<Vec<Column>, Error> {
    let columns = query(
        "schema.columns",
        match tx {
            Tx::Sqlite(_) => {
                "SELECT m.name, c.name, LOWER(c.type) FROM sqlite_master m JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND m.name <> '_sqlx_migrations' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                 ORDER BY m.name, c.cid"
            }
            Tx::Postgres(_) => {
                "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT)
                 FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'
                 ORDER BY table_name, ordinal_position"
            }
        },
    );
    columns.all::<Column>(tx).await
}

fn tables(columns: &[Column]) -> Vec<Table> {
    columns
        .chunk_by(|one, other| one.0 == other.0)
        .filter_map(|of_one| {
            let name = of_one.first()?.0.clone();
            Some(Table { name, columns: of_one.iter().map(|column| column.1.clone()).collect() })
        })
        .collect()
}

/// A row has a text, an integer or null for each column.
fn check(table: &Table, row: &str) -> Result<(), Error> {
    let malformed = || Error::Copy(format!("a row of {} is not what its columns hold", table.name));
    let values: Vec<Value> = serde_json::from_str(row).map_err(|_| malformed())?;
    let plain = |value: &Value| value.is_string() || value.is_i64() || value.is_null();
    if values.len() == table.columns.len() && values.iter().all(plain) { Ok(()) } else { Err(malformed()) }
}

fn list(names: &[String]) -> Result<String, Error> {
    let quoted: Result<Vec<_>, _> = names.iter().map(|name| quoted(name)).collect();
    Ok(quoted?.join(", "))
}

/// A name in SQL. Ours need no quoting; a name that does was not made here.
fn quoted(name: &str) -> Result<String, Error> {
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain { Ok(format!("\"{name}\"")) } else { Err(Error::Copy(format!("`{name}` is no name of ours"))) }
}
