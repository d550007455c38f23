use std::time::Instant;

use micro_auth::MasterKey;
use micro_db::{Actor, ConfigWrite};
use serde_json::json;
use tempfile::TempDir;

use super::*;

struct Fixture {
    db: Db,
    configs: Arc<Configs>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::connect(&format!("sqlite://{}", folder.path().join("control.db").display())).await.unwrap();
    db.migrate().await.unwrap();
    let sealer = Arc::new(Sealer::new(MasterKey::from_bytes(&[7; 32]), Vec::new()));
    let configs = Configs::open(db.clone(), sealer).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&configs).run(stop.clone()));
    Fixture { db, configs, stop, _folder: folder }
}

impl Fixture {
    /// As another process would: nobody wakes us.
    async fn set(&self, namespace: &Namespace, path: &str, value: Value) {
        let write = ConfigWrite::Set(path.parse().unwrap(), value);
        self.db.write_config(namespace, write, &Actor::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_of_another_process_is_read_within_a_second() {
    let fixture = fixture().await;
    let (own, other): (Namespace, Namespace) = (Namespace::default(), "other".parse().unwrap());
    assert_eq!(fixture.configs.get(&own).await.unwrap().version, 0);
    fixture.set(&other, "a", json!(1)).await;
    for n in 1..4 {
        let mut changes = fixture.configs.changes();
        fixture.set(&own, "n", json!(n)).await;
        let written = Instant::now();
        while fixture.configs.get(&own).await.unwrap().document["n"] != n {
            changes.changed().await.unwrap();
        }
        assert!(written.elapsed() < Duration::from_secs(1), "{:?}", written.elapsed());
    }
    assert_eq!(fixture.configs.get(&other).await.unwrap().document, json!({"a": 1}));
}

#[tokio::test]
async fn what_is_known_is_answered_while_the_database_is_away() {
    let fixture = fixture().await;
    let own = Namespace::default();
    fixture.set(&own, "n", json!(1)).await;
    assert_eq!(fixture.configs.get(&own).await.unwrap().document["n"], 1);
    fixture.db.close().await;
    assert_eq!(fixture.configs.get(&own).await.unwrap().document["n"], 1);
    assert_eq!(fixture.configs.get(&"other".parse().unwrap()).await, Err(Error::Away));
}

#[tokio::test]
async fn a_read_asks_no_database() {
    let fixture = fixture().await;
    let own = Namespace::default();
    fixture.set(&own, "n", json!(1)).await;
    let first = fixture.configs.get(&own).await.unwrap();
    assert!(Arc::ptr_eq(&first, &fixture.configs.get(&own).await.unwrap()));
}

#[tokio::test]
async fn a_secret_that_is_not_ours_is_not_opened() {
    let fixture = fixture().await;
    let (own, path) = (Namespace::default(), "a.s".parse().unwrap());
    assert_eq!(fixture.configs.secret(&own, &path).await, Ok(None));
    let key = fixture.db.config_key(&own, "v1.00000000.AAAA").await.unwrap();
    fixture.db.set_secret(&own, &path, "v1.00000000.AAAA", &key, &Actor::default()).await.unwrap();
    fixture.configs.follow().await.unwrap();
    assert_eq!(fixture.configs.secret(&own, &path).await, Err(Error::Sealed));
}
