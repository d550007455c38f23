use micro_api::config::{Path, find};
use serde_json::{Value, json};

use super::*;
use crate::config::{SECRETS_MAX, VERSIONS_MAX};
use crate::query::query;
use crate::{Actor, ConfigFault, ConfigWrite, Copied, Place, SealedSecret};

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn ann() -> Actor {
    Actor { id: "id-of-ann".into(), name: "ann".into(), address: "127.0.0.1".into() }
}

impl Fixture {
    async fn set(&self, at: &str, value: Value) -> Result<i64, Error> {
        let write = ConfigWrite::Set(path(at), value);
        Ok(self.db.write_config(&namespace(), write, &ann()).await?.unwrap().version)
    }

    async fn delete(&self, at: &str) -> Option<i64> {
        let write = ConfigWrite::Delete(path(at));
        self.db.write_config(&namespace(), write, &ann()).await.unwrap().map(|change| change.version)
    }

    async fn secret(&self, at: &str, sealed: &str) -> Result<i64, Error> {
        let key = self.db.config_key(&namespace(), "v1.00000000.first").await?;
        Ok(self.db.set_secret(&namespace(), &path(at), sealed, &key, &ann()).await?.version)
    }

    async fn held(&self) -> crate::HeldConfig {
        self.db.config(&namespace()).await.unwrap()
    }
}

fn fault(result: Result<i64, Error>) -> ConfigFault {
    match result.unwrap_err() {
        Error::Config(fault) => fault,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_write_is_a_version() {
    for fixture in each().await {
        let db = &fixture.db;
        assert_eq!(fixture.held().await.version, 0);
        assert_eq!(fixture.set("a.c", json!(2)).await.unwrap(), 1);
        assert_eq!(fixture.set("a.b", json!("NUL \u{0} and <>")).await.unwrap(), 2);
        let held = fixture.held().await;
        assert_eq!(held.document["a"], json!({"c": 2, "b": "NUL \u{0} and <>"}));
        assert_eq!(fixture.delete("a.b").await, Some(3));
        assert_eq!(fixture.delete("a.b").await, None, "a missing one is no error and no version");
        let history = db.config_history(&namespace(), 100).await.unwrap();
        let told: Vec<_> = history
            .iter()
            .map(|change| (change.version, change.action.as_str(), change.path.as_str(), change.by.as_str()))
            .collect();
        assert_eq!(told, [(3, "delete", "a.b", "ann"), (2, "set", "a.b", "ann"), (1, "set", "a.c", "ann")]);
        assert_eq!(history[0].sha256, history[2].sha256, "of the same document");
        let digest = Digest::of(br#"{"a":{"c":2}}"#).to_string();
        assert!(digest.ends_with(&history[0].sha256) && history[0].sha256.len() == 64);
        assert_eq!(db.config_at(&namespace(), 2).await.unwrap()["a"]["b"], json!("NUL \u{0} and <>"));
        let restore = db.write_config(&namespace(), ConfigWrite::Restore(2), &ann()).await.unwrap().unwrap();
        assert_eq!((restore.version, restore.action.as_str()), (4, "restore"));
        assert!(find(&fixture.held().await.document, &path("a.b")).is_some());
        let error = db.write_config(&namespace(), ConfigWrite::Restore(99), &ann()).await.unwrap_err();
        assert_eq!(error.to_api("x").code, 404);
        assert_eq!(db.config(&"other".parse().unwrap()).await.unwrap(), crate::HeldConfig::default());
        let foreign = db.config_at(&"other".parse().unwrap(), 2).await.unwrap_err();
        assert!(matches!(foreign, Error::Config(ConfigFault::NoVersion(2))));
    }
}

#[tokio::test]
async fn history_is_bounded_by_number_and_bytes() {
    for fixture in each().await {
        for n in 0..VERSIONS_MAX + 3 {
            fixture.set("n", json!(n)).await.unwrap();
        }
        let history = fixture.db.config_history(&namespace(), 1_000).await.unwrap();
        assert_eq!(i64::try_from(history.len()).unwrap(), VERSIONS_MAX);
        assert_eq!(history.last().unwrap().version, 4);
    }
    let fixture = sqlite().await;
    for n in 0..25 {
        fixture.set(&format!("k{}", n % 12), json!("v".repeat(60_000))).await.unwrap();
    }
    let bytes = query("test.bytes", "SELECT CAST(SUM(bytes) AS BIGINT) FROM config_versions");
    let (bytes,) = bytes.read_first::<(i64,)>(&fixture.db).await.unwrap().unwrap();
    assert!(bytes <= crate::config::VERSIONS_BYTES_MAX, "{bytes}");
    let history = fixture.db.config_history(&namespace(), 100).await.unwrap();
    assert!(history.len() < 25 && history[0].version == 25, "{}", history.len());
}

#[tokio::test]
async fn a_secret_is_beside_the_document_and_never_plain_as_well() {
    for fixture in each().await {
        fixture.set("key", json!({"subkey1": "plain", "other": 1})).await.unwrap();
        assert_eq!(fixture.secret("key.subkey1", "v1.aaaaaaaa.x").await.unwrap(), 2);
        let held = fixture.held().await;
        assert_eq!(held.document["key"], json!({"other": 1}));
        assert_eq!(
            held.secrets,
            [SealedSecret { name: "key.subkey1".into(), sealed: "v1.aaaaaaaa.x".into() }]
        );
        assert_eq!(
            fault(fixture.set("key.subkey1", json!(1)).await),
            ConfigFault::IsSecret("key.subkey1".into())
        );
        let merged = fixture.set("key", json!({"subkey1": 1})).await;
        assert_eq!(fault(merged), ConfigFault::IsSecret("key.subkey1".into()));
        let below = fixture.set("key.subkey1.x", json!(1)).await;
        assert_eq!(fault(below), ConfigFault::BelowSecret("key.subkey1".into()));
        assert_eq!(
            fault(fixture.set("key", json!(1)).await),
            ConfigFault::SecretsBelow("key.subkey1".into())
        );
        assert_eq!(fault(fixture.secret("key", "x").await), ConfigFault::SecretsBelow("key.subkey1".into()));
        let deeper = fixture.secret("key.subkey1.x", "x").await;
        assert_eq!(fault(deeper), ConfigFault::BelowSecret("key.subkey1".into()));
        fixture.set("object", json!({"a": 1})).await.unwrap();
        assert_eq!(fault(fixture.secret("object", "x").await), ConfigFault::HoldsObject("object".into()));
        let under = fixture.secret("object.a.b", "x").await;
        assert!(matches!(fault(under), ConfigFault::Document(_)));
        // Back to when it was plain: the secret wins.
        let restored = fixture.db.write_config(&namespace(), ConfigWrite::Restore(1), &ann()).await.unwrap();
        assert!(restored.is_some());
        assert_eq!(fixture.held().await.document["key"], json!({"other": 1}));
        fixture.delete("key").await.unwrap();
        assert!(fixture.held().await.secrets.is_empty());
        let audit = fixture.db.audit_of(&namespace(), "", 100).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(actions, ["secret.delete", "config.restore", "secret.set"]);
    }
}

#[tokio::test]
async fn the_key_of_a_namespace_is_made_once_and_resealed() {
    for fixture in each().await {
        let db = &fixture.db;
        let first = db.config_key(&namespace(), "v1.00000000.first").await.unwrap();
        assert_eq!(db.config_key(&namespace(), "v1.00000000.second").await.unwrap(), first);
        let sealed = db.sealed().await.unwrap();
        assert_eq!((sealed.len(), sealed[0].place, sealed[0].id.as_str()), (1, Place::ConfigKey, "default"));
        let renewed = db.reseal::<Error>(|_| Ok(Some("v1.11111111.third".into()))).await.unwrap();
        assert_eq!(renewed, 1);
        assert_eq!(fixture.held().await.sealed_key, "v1.11111111.third");
        let old = db.set_secret(&namespace(), &path("a"), "x", &first, &ann()).await.unwrap_err();
        assert!(matches!(old, Error::Config(ConfigFault::KeyReplaced)));
    }
}

#[tokio::test]
async fn secrets_are_bounded() {
    let fixture = sqlite().await;
    for n in 0..SECRETS_MAX {
        fixture.secret(&format!("s{n}"), "x").await.unwrap();
    }
    assert_eq!(fault(fixture.secret("more", "x").await), ConfigFault::SecretsFull);
    fixture.secret("s0", "over what is there").await.unwrap();
    let fixture = sqlite().await;
    let big = "x".repeat(crate::config::SECRETS_BYTES_MAX / 2 + 1);
    fixture.secret("one", &big).await.unwrap();
    assert_eq!(fault(fixture.secret("two", &big).await), ConfigFault::SecretsFull);
}

#[tokio::test]
async fn nodes_find_what_changed_since_they_looked() {
    for fixture in each().await {
        let db = &fixture.db;
        let before = db.config_revision().await.unwrap();
        fixture.set("a", json!(1)).await.unwrap();
        let other: Namespace = "other".parse().unwrap();
        let write = ConfigWrite::Set(path("b"), json!(2));
        db.write_config(&other, write, &ann()).await.unwrap();
        let after = db.config_revision().await.unwrap();
        let changed = db.config_changed(before).await.unwrap();
        assert_eq!(changed, [(before + 1, namespace()), (before + 2, other.clone())]);
        assert_eq!(after, before + 2);
        assert!(db.config_changed(after).await.unwrap().is_empty());
        fixture.secret("s", "x").await.unwrap();
        assert_eq!(db.config_changed(after).await.unwrap(), [(after + 1, namespace())]);
    }
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    for fixture in each().await {
        let writes =
            (0..20).map(|n| fixture.set(if n % 2 == 0 { "a" } else { "b" }, json!({format!("k{n}"): n})));
        let versions: Vec<_> = futures::future::try_join_all(writes).await.unwrap();
        let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
        assert_eq!(distinct.len(), 20);
        let held = fixture.held().await;
        assert_eq!(held.version, 20);
        assert_eq!(
            held.document["a"].as_object().unwrap().len() + held.document["b"].as_object().unwrap().len(),
            20
        );
    }
}

#[tokio::test]
async fn another_namespaces_is_taken_over_as_one_version() {
    for fixture in each().await {
        fixture.set("gone", json!(1)).await.unwrap();
        fixture.secret("kept", "sealed-here").await.unwrap();
        let key = fixture.held().await.sealed_key;
        let document = json!({"a": {"b": 1}, "kept": "plain there"}).as_object().unwrap().clone();
        let secrets = vec![SealedSecret { name: "a.s".into(), sealed: "of-there".into() }];
        let copied = Copied { from: "other".parse().unwrap(), document, secrets, key: key.clone() };
        let wrong = Copied { key: "another".into(), ..copied.clone() };
        let refused = fixture.db.write_config(&namespace(), ConfigWrite::Clone(wrong), &ann()).await;
        assert!(matches!(refused, Err(Error::Config(ConfigFault::KeyReplaced))));
        fixture.db.write_config(&namespace(), ConfigWrite::Clone(copied), &ann()).await.unwrap();
        let held = fixture.held().await;
        assert_eq!(Value::Object(held.document.clone()), json!({"a": {"b": 1}}));
        let names: Vec<_> = held.secrets.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(names, ["a.s", "kept"]);
        let history = fixture.db.config_history(&namespace(), 1).await.unwrap();
        assert_eq!((history[0].action.as_str(), history[0].path.as_str()), ("clone", "other"));
    }
}

#[tokio::test]
async fn what_a_deleted_namespace_had_is_gone_and_names_can_be_erased() {
    for fixture in each().await {
        let db = &fixture.db;
        fixture.set("a", json!(1)).await.unwrap();
        fixture.secret("s", "x").await.unwrap();
        let mut tx = db.begin_unlocked().await.unwrap();
        crate::config::rename_actor(&mut tx, "id-of-ann", "person-0123456789").await.unwrap();
        tx.commit().await.unwrap();
        let history = db.config_history(&namespace(), 100).await.unwrap();
        assert!(history.iter().all(|change| change.by == "person-0123456789"), "{history:?}");
        // As it is after its owner's account was deleted.
        let mut tx = db.begin_unlocked().await.unwrap();
        for statement in [
            "DELETE FROM namespaces WHERE namespace = 'default'",
            "INSERT INTO namespaces (namespace, project, environment, description, plan, blocked, created_ms, deleted_ms)
             VALUES ('default', 'p', 'production', '', 'free', 0, 1, 1000)",
        ] {
            query("test.ended", statement).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        db.erase_people(999).await.unwrap();
        assert_eq!(fixture.held().await.version, 2);
        db.erase_people(1_000).await.unwrap();
        assert_eq!(fixture.held().await, crate::HeldConfig::default());
        assert!(db.config_history(&namespace(), 100).await.unwrap().is_empty());
        let left = query("test.left", "SELECT CAST(COUNT(*) AS BIGINT) FROM config_secrets");
        assert_eq!(left.read_first::<(i64,)>(db).await.unwrap().unwrap().0, 0);
    }
}
