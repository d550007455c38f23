use super::*;
use crate::query::query;

/// (table, column, type, nullable, position in the primary key)
type Column = (String, String, String, i64, i64);

/// The numbers in migrations/ are equal by construction; here the results are compared.
#[tokio::test]
async fn both_databases_have_one_schema() {
    let fixtures = each().await;
    let mut schemas = Vec::new();
    for fixture in &fixtures {
        let columns = match &fixture.db {
            Db::Sqlite { .. } => query(
                "test.columns",
                "SELECT m.name, c.name, LOWER(c.type), CASE c.\"notnull\" WHEN 0 THEN 1 ELSE 0 END, c.pk
                 FROM sqlite_master m JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'
                 ORDER BY 1, 2",
            ),
            Db::Postgres(_) => query(
                "test.columns",
                "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), CAST(c.data_type AS TEXT),
                   CAST(CASE c.is_nullable WHEN 'YES' THEN 1 ELSE 0 END AS BIGINT),
                   CAST(COALESCE((SELECT k.ordinal_position FROM information_schema.key_column_usage k
                     JOIN information_schema.table_constraints t ON t.constraint_name = k.constraint_name
                     WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_name = c.table_name
                       AND k.column_name = c.column_name), 0) AS BIGINT)
                 FROM information_schema.columns c
                 WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_sqlx%' ORDER BY 1, 2",
            ),
        };
        let mut columns = columns.read_all::<Column>(&fixture.db).await.unwrap();
        columns.sort();
        let indexes = match &fixture.db {
            Db::Sqlite { .. } => query(
                "test.indexes",
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
            ),
            Db::Postgres(_) => query(
                "test.indexes",
                "SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE '%\\_by\\_%'",
            ),
        };
        let mut indexes = indexes.read_all::<(String,)>(&fixture.db).await.unwrap();
        indexes.sort();
        schemas.push((columns, indexes));
    }
    let first = schemas.first().unwrap();
    assert!(
        first.0.iter().any(|column| column.0 == "deployments" && column.1 == "state" && column.2 == "text")
    );
    assert!(first.1.len() > 20);
    for other in &schemas {
        assert_eq!(other, first);
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    for fixture in each().await {
        let deployment = fixture.run("helloworld").await;
        fixture.db.migrate().await.unwrap();
        assert_eq!(fixture.state(&deployment.id).await, DeploymentState::Queued);
        fixture.db.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    for fixture in each().await {
        fixture.db.pretend_newer_schema().await.unwrap();
        let before = query("test.steps", "SELECT version FROM _sqlx_migrations ORDER BY version");
        let before = before.read_all::<(i64,)>(&fixture.db).await.unwrap();
        // Twice: the first refusal leaves no lock behind.
        for _ in 0..2 {
            let error = fixture.db.migrate().await.unwrap_err();
            assert!(matches!(error, Error::NewerSchema { found: 9_999, .. }), "{error}");
            assert!(error.to_string().contains("newer version of micro"), "{error}");
        }
        let error = fixture.db.snapshot().await.unwrap_err();
        assert!(matches!(error, Error::NewerSchema { found: 9_999, .. }), "{error}");
        let after = query("test.steps", "SELECT version FROM _sqlx_migrations ORDER BY version");
        assert_eq!(after.read_all::<(i64,)>(&fixture.db).await.unwrap(), before);
    }
}

/// Processes that start at once on a new database: each with connections of its own.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_start_at_once_find_one_schema() {
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite://{}", folder.path().join("new.db").display())];
    if let Ok(server) = std::env::var("MICRO_TEST_POSTGRES") {
        urls.push(database(&server).await);
    }
    for url in urls {
        let starts = (0..8).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let db = Db::connect(&url).await.unwrap();
                db.migrate().await.map(|()| db)
            })
        });
        for start in starts.collect::<Vec<_>>() {
            let db = start.await.unwrap().unwrap();
            assert!(db.snapshot().await.unwrap().schema() >= 4);
            db.close().await;
        }
    }
}
