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
