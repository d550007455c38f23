use super::*;
use crate::build_cache::{CacheEntry, ENTRIES_MAX};
use crate::{Error, now_ms};

#[tokio::test]
async fn caches_are_private_and_bounded() {
    for fixture in each().await {
        let db = &fixture.db;
        let other: Namespace = "other".parse().unwrap();
        let entry = CacheEntry { value: "{}".to_owned(), artifacts: vec![revision("component")] };
        db.build_cache_put(&namespace(), "key", &entry).await.unwrap();
        assert_eq!(db.build_cache_get(&namespace(), "key").await.unwrap(), Some(entry.clone()));
        assert_eq!(db.build_cache_get(&other, "key").await.unwrap(), None);
        assert!(db.live_artifacts().await.unwrap().contains(&revision("component")));
        let newer = CacheEntry { value: "2".to_owned(), artifacts: Vec::new() };
        db.build_cache_put(&namespace(), "key", &newer).await.unwrap();
        assert_eq!(db.build_cache_get(&namespace(), "key").await.unwrap(), Some(newer));
        assert!(!db.live_artifacts().await.unwrap().contains(&revision("component")));
    }
    // The bound, on the fast one only.
    let fixture = sqlite().await;
    let Db::Sqlite { write: pool, .. } = &fixture.db else { panic!("not SQLite") };
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= $1)
         INSERT INTO build_cache (namespace, cache_key, value, artifacts, used_ms)
         SELECT 'default', 'k' || i, '', '[]', i FROM n",
    )
    .bind(ENTRIES_MAX)
    .execute(pool)
    .await
    .unwrap();
    let entry = CacheEntry { value: String::new(), artifacts: Vec::new() };
    fixture.db.build_cache_put(&namespace(), "new", &entry).await.unwrap();
    assert_eq!(fixture.db.build_cache_get(&namespace(), "k1").await.unwrap(), None);
    assert!(fixture.db.build_cache_get(&namespace(), "new").await.unwrap().is_some());
}

#[tokio::test]
async fn an_upload_stays_while_a_build_needs_it() {
    for fixture in each().await {
        let db = &fixture.db;
        let (used, unused) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let mut wish = request("helloworld");
        wish.source = Source::Upload { upload: used.clone(), folder: String::new() };
        let missing = db.submit(&namespace(), Action::Run, &wish).await.unwrap_err();
        assert!(matches!(missing, Error::NoUpload));
        db.insert_upload(&namespace(), &used, 10, 20).await.unwrap();
        db.insert_upload(&namespace(), &unused, 10, 20).await.unwrap();
        let foreign = db.submit(&"other".parse().unwrap(), Action::Run, &wish).await.unwrap_err();
        assert!(matches!(foreign, Error::NoUpload), "another namespace's upload is not there");
        db.submit(&namespace(), Action::Run, &wish).await.unwrap();
        assert_eq!(db.sweep_uploads(now_ms() + 1).await.unwrap(), [used]);
        fixture.build().await;
        assert!(db.sweep_uploads(now_ms() + 1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn uploads_of_a_namespace_are_bounded_together() {
    for fixture in each().await {
        let db = &fixture.db;
        let id = || uuid::Uuid::new_v4().to_string();
        let (first, second) = (id(), id());
        db.insert_upload(&namespace(), &first, 60, 100).await.unwrap();
        let full = db.insert_upload(&namespace(), &second, 41, 100).await.unwrap_err();
        assert!(matches!(full, Error::UploadsFull(100)), "{full:?}");
        assert_eq!(full.to_api("uploads").code, 429);
        assert!(db.check_upload(&namespace(), 41, 100).await.is_err());
        db.check_upload(&namespace(), 40, 100).await.unwrap();
        // Another namespace has its own bound, and what was not stored does not count.
        db.insert_upload(&"other".parse().unwrap(), &id(), 100, 100).await.unwrap();
        db.insert_upload(&namespace(), &second, 40, 100).await.unwrap();

        // Only what was used, by builds that ended, makes room.
        assert!(db.forget_used_uploads(&namespace()).await.unwrap().is_empty());
        let mut wish = request("helloworld");
        wish.source = Source::Upload { upload: first.clone(), folder: String::new() };
        db.submit(&namespace(), Action::Run, &wish).await.unwrap();
        assert!(db.forget_used_uploads(&namespace()).await.unwrap().is_empty());
        fixture.build().await;
        assert_eq!(db.forget_used_uploads(&namespace()).await.unwrap(), [first]);
        db.check_upload(&namespace(), 60, 100).await.unwrap();
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten() {
    for fixture in each().await {
        let db = &fixture.db;
        let first = fixture.bring_up("helloworld").await;
        let second = fixture.update("helloworld").await;
        fixture.build().await;
        fixture.reconcile().await;
        fixture.reconcile().await;
        assert_eq!(db.prune(0).await.unwrap(), 0);
        assert_eq!(db.live_artifacts().await.unwrap().len(), 2);
        assert_eq!(db.prune(now_ms() + 1_000).await.unwrap(), 1);
        assert!(db.deployment(&namespace(), &first.id).await.unwrap().is_none());
        assert_eq!(fixture.state(&second.id).await, DeploymentState::Running);
        assert_eq!(db.live_artifacts().await.unwrap().len(), 1);
    }
}

/// A list costs what it lists: joined the wrong way round, this one takes a minute.
#[tokio::test]
async fn ten_thousand_services_are_listed_at_once() {
    let fixture = sqlite().await;
    let Db::Sqlite { write: pool, .. } = &fixture.db else { panic!("not SQLite") };
    let wish = serde_json::to_string(&request("many")).unwrap();
    for (table, values) in [
        (
            "deployments (id, namespace, service, version, action, request, state, stages, revision, starts, job,
             log_bytes, created_ms, started_ms, updated_ms)",
            "'d' || i, 'default', 's' || i, 'latest', 'run', $1, 'running', '[]', 'r', 0, 0, 0, i, i, i",
        ),
        (
            "versions (namespace, service, version, suggested, deployment, active)",
            "'default', 's' || i, 'latest', $1, 'd' || i, 'd' || i",
        ),
    ] {
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)";
        let insert = format!("{numbers} INSERT INTO {table} SELECT {values} FROM n");
        sqlx::query(sqlx::AssertSqlSafe(insert)).bind(&wish).execute(pool).await.unwrap();
    }
    let started = std::time::Instant::now();
    assert_eq!(fixture.db.versions(&namespace(), None, None).await.unwrap().len(), 10_000);
    assert_eq!(fixture.db.versions(&namespace(), Some("s77"), Some("latest")).await.unwrap().len(), 1);
    assert_eq!(fixture.db.active().await.unwrap().len(), 10_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}
