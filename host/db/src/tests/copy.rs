//! A copy of the control data, from each database into each.

use super::*;
use crate::query::query;
use crate::{Snapshot, Table};

async fn read(snapshot: &mut Snapshot) -> Vec<(Table, Vec<String>)> {
    let mut all = Vec::new();
    for table in snapshot.tables().await.unwrap() {
        let mut rows = Vec::new();
        let each = |row: &str| -> Result<(), Error> {
            rows.push(row.to_owned());
            Ok(())
        };
        snapshot.rows(&table, each).await.unwrap();
        rows.sort();
        all.push((table, rows));
    }
    all
}

/// The same rows, however the database spells them.
fn values(tables: &[(Table, Vec<String>)]) -> Vec<(Table, Vec<serde_json::Value>)> {
    let parse = |row: &String| serde_json::from_str(row).unwrap();
    let mut all: Vec<(Table, Vec<_>)> =
        tables.iter().map(|(table, rows)| (table.clone(), rows.iter().map(parse).collect())).collect();
    for (_, rows) in &mut all {
        rows.sort_by_key(serde_json::Value::to_string);
    }
    all
}

/// An empty database beside each fixture, of each kind.
async fn empty() -> Vec<(Db, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("copy.db").display());
    let mut all = vec![(Db::connect(&url).await.unwrap(), folder)];
    if let Ok(server) = std::env::var("MICRO_TEST_POSTGRES") {
        all.push((Db::connect(&database(&server).await).await.unwrap(), tempfile::tempdir().unwrap()));
    }
    all
}

async fn fill(db: &Db, schema: i64, tables: &[(Table, Vec<String>)]) -> Result<(), Error> {
    let mut filling = db.fill(schema).await?;
    for (table, rows) in tables {
        for rows in rows.chunks(2) {
            filling.insert(table, rows).await?;
        }
    }
    filling.commit().await
}

/// Rows with everything that text can be.
async fn lived_in(fixture: &Fixture) {
    fixture.bring_up("helloworld").await;
    fixture.db.ensure_operator().await.unwrap();
    fixture.run("waits").await;
    let mut tx = fixture.db.begin_unlocked().await.unwrap();
    let big =
        "INSERT INTO counters (name, value) VALUES ('large', 9223372036854775807), ('123', -1), ('', 0)";
    query("test.big", big).execute(&mut tx).await.unwrap();
    let odd = "INSERT INTO build_log (deployment, seq, record) VALUES ('d', 0, $1)";
    query("test.odd", odd)
        .bind("[\"json\", {\"a\": null}]\r\n\t\\ \u{1f980}\u{7} '\"")
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_copy_from_each_database_is_the_same_in_each() {
    for from in each().await {
        lived_in(&from).await;
        let mut snapshot = from.db.snapshot().await.unwrap();
        let tables = read(&mut snapshot).await;
        assert!(tables.len() > 20 && tables.iter().filter(|(_, rows)| !rows.is_empty()).count() > 5);
        for (to, _folder) in empty().await {
            fill(&to, snapshot.schema(), &tables).await.unwrap();
            let copied = read(&mut to.snapshot().await.unwrap()).await;
            assert_eq!(values(&copied), values(&tables));
            // It is a database like any other from now on.
            to.migrate().await.unwrap();
            assert_eq!(to.ensure_operator().await.unwrap(), crate::bootstrap::Operator::Known);
            let again = fill(&to, snapshot.schema(), &tables).await.unwrap_err();
            assert!(matches!(again, Error::NotEmpty), "{again}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_one_moment_while_others_write() {
    for fixture in each().await {
        let before = fixture.bring_up("before").await;
        let mut snapshot = fixture.db.snapshot().await.unwrap();
        let table =
            snapshot.tables().await.unwrap().into_iter().find(|table| table.name == "deployments").unwrap();
        // Nobody waits for it.
        let after = fixture.bring_up("after").await;
        let mut rows = 0;
        let count = |_: &str| -> Result<(), Error> {
            rows += 1;
            Ok(())
        };
        snapshot.rows(&table, count).await.unwrap();
        assert_eq!(rows, 1);
        assert_eq!(snapshot.live_artifacts().await.unwrap(), [revision(&before.id)].into());
        drop(snapshot);
        assert!(fixture.db.live_artifacts().await.unwrap().contains(&revision(&after.id)));
    }
}

#[tokio::test]
async fn what_does_not_fit_the_schema_leaves_nothing() {
    for fixture in each().await {
        let mut snapshot = fixture.db.snapshot().await.unwrap();
        let tables = read(&mut snapshot).await;
        let counters = tables.iter().find(|(table, _)| table.name == "counters").unwrap().0.clone();
        let with = |name: &str, columns: &[&str]| Table {
            name: name.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
        };
        for (table, row) in [
            (counters.clone(), "[\"a\"]"),
            (counters.clone(), "[\"a\", 1, 2]"),
            (counters.clone(), "[\"a\", 1.5]"),
            (counters.clone(), "[\"a\", [1]]"),
            (counters.clone(), "[\"a\", 1"),
            (counters.clone(), "[\"a\", 1], [\"b\", 2]"),
            (with("counters", &["name"]), "[\"a\"]"),
            (with("counters", &["name", "value; DROP TABLE people"]), "[\"a\", 1]"),
            (with("_sqlx_migrations", &["version"]), "[1]"),
            (with("pg_class", &["relname"]), "[\"a\"]"),
        ] {
            for (to, _folder) in empty().await {
                let refused = fill(&to, snapshot.schema(), &[(table.clone(), vec![row.to_owned()])]).await;
                assert!(matches!(refused, Err(Error::Copy(_))), "{table:?} {row}: {refused:?}");
                assert!(matches!(to.snapshot().await, Err(Error::NoSchema)));
            }
        }
        // Nor does what only the database refuses.
        for (to, _folder) in empty().await {
            let twice = vec!["[\"a\", 1]".to_owned(), "[\"a\", 2]".to_owned()];
            let refused = fill(&to, snapshot.schema(), &[(counters.clone(), twice)]).await;
            assert!(matches!(refused, Err(Error::Sql { .. })), "{refused:?}");
            assert!(matches!(to.snapshot().await, Err(Error::NoSchema)));
            assert!(matches!(to.fill(9_999).await, Err(Error::NewerSchema { found: 9_999, .. })));
        }
    }
}

/// A backup of an earlier version: its rows go into its schema, and the steps since then follow.
#[tokio::test]
async fn an_older_schema_is_filled_and_brought_up_to_date() {
    for (to, _folder) in empty().await {
        let services = Table {
            name: "services".to_owned(),
            columns: ["namespace", "service", "created_ms"].map(str::to_owned).to_vec(),
        };
        fill(&to, 1, &[(services, vec!["[\"default\", \"helloworld\", 1]".to_owned()])]).await.unwrap();
        assert_eq!(to.snapshot().await.unwrap().schema(), 1);
        to.migrate().await.unwrap();
        let public = query("test.public", "SELECT public FROM services").read_first::<(i64,)>(&to).await;
        assert_eq!(public.unwrap(), Some((0,)));
    }
}
