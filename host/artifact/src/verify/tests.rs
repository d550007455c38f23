use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::*;
use crate::{Codec, Config, Exports, Package, collect};

struct Fixture {
    scratch: tempfile::TempDir,
    store: Store,
    key: Key,
}

impl Fixture {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&Config::Filesystem { folder: scratch.path().join("artifacts") }).unwrap();
        let key = Key::open(&scratch.path().join("artifact.key")).unwrap();
        Self { scratch, store, key }
    }

    fn manifest(&self, version: &str) -> RevisionManifest {
        RevisionManifest {
            namespace: "default".parse().unwrap(),
            service: "helloworld".parse().unwrap(),
            version: version.to_owned(),
            component: self.store.put(b"component").unwrap(),
            native: self.store.put(format!("native of {version}").as_bytes()).unwrap(),
            engine: "sync-1".to_owned(),
            exports: Exports { handler: Some(Package::Platform), ..Exports::default() },
            imports: vec!["micro:platform/log@0.1.0".to_owned()],
            descriptors: Some(self.store.put(b"descriptors").unwrap()),
            codecs: vec![Codec::Protobuf],
            endpoints: Vec::new(),
            static_files: None,
            settings: micro_api::manifest::Manifest::default(),
            env: BTreeMap::from([("LOG".to_owned(), "info".to_owned())]),
            args: Vec::new(),
            commit: None,
        }
    }
}

#[test]
fn a_published_revision_verifies() {
    let fixture = Fixture::new();
    let manifest = fixture.manifest("latest");
    let revision = publish(&fixture.store, &fixture.key, &manifest).unwrap();
    assert_eq!(
        publish(&fixture.store, &fixture.key, &manifest).unwrap(),
        revision,
        "equal content, equal id"
    );
    let artifact = verify(&fixture.store, &fixture.key, &revision).unwrap();
    assert_eq!(**artifact.manifest(), manifest);
    assert_eq!(artifact.revision(), &revision);
    assert_eq!(std::fs::read(artifact.native()).unwrap(), b"native of latest");
}

#[test]
fn what_this_platform_did_not_sign_is_refused() {
    let fixture = Fixture::new();
    let revision = publish(&fixture.store, &fixture.key, &fixture.manifest("latest")).unwrap();
    let other = Key::open(&fixture.scratch.path().join("other.key")).unwrap();
    assert!(matches!(verify(&fixture.store, &other, &revision), Err(Error::Signature(_))));

    // A manifest put by someone who can write artifacts but has no key.
    let forged = fixture.store.put(b"00\n{}").unwrap();
    assert!(matches!(verify(&fixture.store, &fixture.key, &forged), Err(Error::Signature(_))));
    // Code is no manifest.
    let component = fixture.store.put(b"component").unwrap();
    assert!(matches!(verify(&fixture.store, &fixture.key, &component), Err(Error::Signature(_))));
}

#[test]
fn damage_is_found() {
    let fixture = Fixture::new();
    let manifest = fixture.manifest("latest");
    let revision = publish(&fixture.store, &fixture.key, &manifest).unwrap();
    let fresh =
        Store::open(&Config::Filesystem { folder: fixture.scratch.path().join("artifacts") }).unwrap();
    std::fs::write(fresh.path(&manifest.native), b"other code").unwrap();
    assert!(
        matches!(verify(&fresh, &fixture.key, &revision), Err(Error::Damaged(d)) if d == manifest.native)
    );
    fresh.remove(&manifest.native).unwrap();
    assert!(
        matches!(verify(&fresh, &fixture.key, &revision), Err(Error::Missing(d)) if d == manifest.native)
    );
    assert!(matches!(publish(&fresh, &fixture.key, &manifest), Err(Error::Missing(_))));
    std::fs::write(fresh.path(&revision), b"x").unwrap();
    assert!(matches!(verify(&fresh, &fixture.key, &revision), Err(Error::Damaged(d)) if d == revision));
}

#[test]
fn collection_keeps_what_live_revisions_name() {
    let fixture = Fixture::new();
    let live = publish(&fixture.store, &fixture.key, &fixture.manifest("latest")).unwrap();
    let old = fixture.manifest("old");
    let dead = publish(&fixture.store, &fixture.key, &old).unwrap();
    let live_set = HashSet::from([live]);

    let young = collect(&fixture.store, &fixture.key, &live_set, Duration::from_secs(3600)).unwrap();
    assert_eq!(young.removed, 0, "what was just written may belong to a build");
    let collected = collect(&fixture.store, &fixture.key, &live_set, Duration::ZERO).unwrap();
    assert_eq!((collected.kept, collected.removed), (4, 2));
    assert!(verify(&fixture.store, &fixture.key, &live).is_ok());
    assert!(!fixture.store.contains(&dead) && !fixture.store.contains(&old.native));
}
