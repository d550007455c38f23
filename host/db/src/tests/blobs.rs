//! Rows of blobs.

use super::*;
use crate::{Blob, Error, Refusal};

fn blob(key: &str, size: i64) -> Blob {
    Blob {
        blob_key: key.to_owned(),
        object: uuid::Uuid::new_v4().simple().to_string(),
        size,
        content_type: "text/plain".to_owned(),
        digest: "00".repeat(32),
        public: 1,
        changed_ms: 7,
    }
}

#[tokio::test]
async fn a_blob_is_put_over_and_deleted() {
    for Fixture { db, .. } in each().await {
        let other: Namespace = "other".parse().unwrap();
        let (old, new) = (blob("k", 5), blob("k", 6));
        assert_eq!(db.blob_put(&namespace(), "app", &old, None).await.unwrap(), None);
        assert_eq!(db.blob_put(&namespace(), "app", &new, None).await.unwrap(), Some(old.object));
        assert_eq!(db.blob_get(&namespace(), "app", "k").await.unwrap(), Some(new.clone()));
        assert_eq!(db.blob_get(&namespace(), "web", "k").await.unwrap(), None);
        assert_eq!(db.blob_get(&other, "app", "k").await.unwrap(), None);
        assert_eq!(db.blob_delete(&other, "app", "k").await.unwrap(), None);
        assert_eq!(db.blob_objects("0", "g").await.unwrap(), std::slice::from_ref(&new.object));
        assert_eq!(db.blob_delete(&namespace(), "app", "k").await.unwrap(), Some(new));
        assert_eq!(db.blob_delete(&namespace(), "app", "k").await.unwrap(), None);
        assert!(db.blob_objects("0", "g").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn blobs_end_with_their_namespace() {
    for fixture in each().await {
        let (db, jane) = (&fixture.db, fixture.person("jane").await);
        db.blob_put(&jane.namespace, "app", &blob("k", 5), None).await.unwrap();
        db.blob_put(&namespace(), "app", &blob("k", 6), None).await.unwrap();
        assert_eq!(db.used(&jane.namespace, 1).await.unwrap().blob_bytes, 5);
        db.delete_namespace(&jane.person.id, &jane.namespace, &people::actor(&jane.person)).await.unwrap();
        assert_eq!(db.blob_get(&jane.namespace, "app", "k").await.unwrap(), None);
        let late = db.blob_put(&jane.namespace, "app", &blob("k", 5), None).await;
        assert!(matches!(late, Err(Error::Refused(Refusal::NoNamespace))), "{late:?}");
        assert_eq!(db.blob_bytes(&namespace()).await.unwrap(), 6);
    }
}

#[tokio::test]
async fn blobs_are_listed_bytewise_and_by_literal_prefix() {
    for Fixture { db, .. } in each().await {
        for key in ["é2", "b_1", "B", "a", "é1", "b%", "b/2", "b/1"] {
            db.blob_put(&namespace(), "app", &blob(key, 1), None).await.unwrap();
            db.blob_put(&namespace(), "web", &blob(key, 1), None).await.unwrap();
        }
        let keys = async |prefix: &str, after: &str, limit: i64| {
            let page = db.blob_list(&namespace(), "app", prefix, after, limit).await.unwrap();
            page.into_iter().map(|blob| blob.blob_key).collect::<Vec<_>>()
        };
        let all = ["B", "a", "b%", "b/1", "b/2", "b_1", "é1", "é2"];
        assert_eq!(keys("", "", i64::MAX).await, all);
        assert_eq!(keys("b_", "", 10).await, ["b_1"]);
        assert_eq!(keys("b/", "b/1", 10).await, ["b/2"]);
        assert_eq!(keys("é", "", 1).await, ["é1"]);
        assert!(keys("b", "", 0).await.is_empty());
    }
}

#[tokio::test]
async fn a_namespace_holds_no_more_than_its_plan_allows() {
    for Fixture { db, .. } in each().await {
        let other: Namespace = "other".parse().unwrap();
        db.blob_put(&other, "app", &blob("k", 100), Some(100)).await.unwrap();
        db.blob_put(&namespace(), "app", &blob("k", 6), Some(10)).await.unwrap();
        let refused = db.blob_put(&namespace(), "web", &blob("k", 5), Some(10)).await.unwrap_err();
        assert!(
            matches!(refused, Error::Limit { limit: "blob_bytes", max: 10, resets_ms: None }),
            "{refused:?}"
        );
        assert_eq!(refused.to_api("blob").code, 403);
        assert_eq!(db.blob_get(&namespace(), "web", "k").await.unwrap(), None);
        db.blob_put(&namespace(), "app", &blob("k", 10), Some(10)).await.unwrap();
        // The plan became smaller.
        db.blob_put(&namespace(), "app", &blob("k", 9), Some(2)).await.unwrap();
        assert!(db.blob_put(&namespace(), "app", &blob("k", 10), Some(2)).await.is_err());
        assert_eq!(db.blob_bytes(&namespace()).await.unwrap(), 9);
    }
}
