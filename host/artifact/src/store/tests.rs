use std::os::unix::fs::PermissionsExt;

use super::*;

fn store(folder: &Path) -> Store {
    Store::open(&Config::Filesystem { folder: folder.join("artifacts") }).unwrap()
}

#[test]
fn bytes_come_back_under_their_digest() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    let digest = store.put(b"code").unwrap();
    assert_eq!(digest, Digest::of(b"code"));
    assert_eq!(store.put(b"code").unwrap(), digest);
    assert_eq!(store.get(&digest).unwrap(), b"code");
    assert_eq!(store.size(&digest).unwrap(), 4);
    let file = scratch.path().join("file");
    std::fs::write(&file, b"code").unwrap();
    assert_eq!(store.put_file(&file).unwrap(), digest);
    store.remove(&digest).unwrap();
    store.remove(&digest).unwrap();
    assert!(!store.contains(&digest));
    assert!(matches!(store.get(&digest), Err(Error::Missing(missing)) if missing == digest));
}

#[test]
fn only_the_owner_enters_the_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("artifacts");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = store(scratch.path());
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let digest = store.put(b"code").unwrap();
    assert_eq!(store.path(&digest).metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_a_dead_writer_left_is_swept() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    let partial = scratch.path().join("artifacts/.partial-x");
    std::fs::write(&partial, b"half").unwrap();
    assert_eq!(store.older_than(Duration::from_secs(3600)).unwrap(), []);
    assert!(partial.exists());
    assert_eq!(store.older_than(Duration::ZERO).unwrap(), []);
    assert!(!partial.exists());
}

#[test]
fn an_artifact_is_hashed_once() {
    let scratch = tempfile::tempdir().unwrap();
    let digest = store(scratch.path()).put(b"code").unwrap();
    let store = store(scratch.path());
    store.check(&digest).unwrap();
    // A changed file is not noticed by a process that has hashed it, and is by a fresh one.
    std::fs::write(store.path(&digest), b"evil").unwrap();
    store.check(&digest).unwrap();
    let fresh = Store::open(&Config::Filesystem { folder: scratch.path().join("artifacts") }).unwrap();
    assert!(matches!(fresh.check(&digest), Err(Error::Damaged(_))));
}

#[test]
fn nothing_is_collected_while_somebody_holds_the_store() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    let key = crate::Key::open(&scratch.path().join("artifact.key")).unwrap();
    let digest = store.put(b"unused").unwrap();
    let collect = || crate::collect(&store, &key, &std::collections::HashSet::new(), Duration::ZERO).unwrap();
    let held = (store.hold().unwrap(), store.hold().unwrap());
    assert_eq!(collect().removed, 0);
    assert!(store.contains(&digest));
    drop(held);
    assert_eq!(collect().removed, 1);
    assert!(!store.contains(&digest));
}

#[test]
fn what_one_node_puts_another_one_has() {
    let scratch = tempfile::tempdir().unwrap();
    let remote = crate::remote::tests::bucket();
    let node = |name: &str| {
        let config = Config::Shared { folder: scratch.path().join(name), remote: remote.clone() };
        Store::open(&config).unwrap()
    };
    let (one, other) = (node("one"), node("other"));
    let digest = one.put(b"code").unwrap();
    assert!(!other.path(&digest).exists(), "nothing is fetched before it is needed");
    other.check(&digest).unwrap();
    assert_eq!(std::fs::read(other.path(&digest)).unwrap(), b"code");
    assert_eq!(node("third").get(&digest).unwrap(), b"code");
    assert_eq!(node("fourth").size(&digest).unwrap(), 4);
    assert!(node("fifth").contains(&digest) && !other.contains(&Digest::of(b"nothing")));

    // What is not what its name says is not taken.
    let evil = scratch.path().join("evil");
    std::fs::write(&evil, b"evil").unwrap();
    let wanted = Digest::of(b"wanted");
    remote.put(&name(&wanted), &evil).unwrap();
    assert!(matches!(other.check(&wanted), Err(Error::Damaged(damaged)) if damaged == wanted));
    assert!(!other.path(&wanted).exists());
}

#[test]
fn what_nobody_needs_goes_from_the_bucket_when_it_is_old() {
    let scratch = tempfile::tempdir().unwrap();
    let remote = crate::remote::tests::bucket();
    let store =
        Store::open(&Config::Shared { folder: scratch.path().to_owned(), remote: remote.clone() }).unwrap();
    let (kept, gone) = (store.put(b"kept").unwrap(), store.put(b"gone").unwrap());
    let keep = HashSet::from([kept]);
    assert_eq!(store.collect_shared(&keep, Duration::from_secs(3_600)).unwrap(), 0);
    assert_eq!(store.collect_shared(&keep, Duration::ZERO).unwrap(), 1);
    let left: Vec<String> = remote.list(ARTIFACTS).unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(left, [kept.hex()]);
    assert!(store.path(&gone).exists(), "the file of this machine is collected by itself");
}

#[test]
fn one_node_looks_through_the_bucket() {
    let scratch = tempfile::tempdir().unwrap();
    let remote = crate::remote::tests::bucket();
    let key = crate::Key::open(&scratch.path().join("artifact.key")).unwrap();
    let node = |name: &str| {
        let config = Config::Shared { folder: scratch.path().join(name), remote: remote.clone() };
        Store::open(&config).unwrap()
    };
    let (one, other) = (node("one"), node("other"));
    let collect = |store: &Store| crate::collect(store, &key, &HashSet::new(), Duration::ZERO).unwrap();
    one.put(b"first").unwrap();
    collect(&one);
    assert_eq!(remote.list(ARTIFACTS).unwrap(), []);
    // Soon after it was looked through, what is there stays there, whoever collects.
    one.put(b"second").unwrap();
    assert_eq!(collect(&one).removed, 1, "each node removes its own files");
    collect(&other);
    assert_eq!(remote.list(ARTIFACTS).unwrap().len(), 1);
}

#[test]
fn nothing_is_collected_when_a_manifest_cannot_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let remote = crate::remote::tests::bucket();
    let key = crate::Key::open(&scratch.path().join("artifact.key")).unwrap();
    let folder = scratch.path().join("node");
    let store = Store::open(&Config::Shared { folder, remote: remote.clone() }).unwrap();
    let named = store.put(b"what the manifest may name").unwrap();
    let broken = scratch.path().join("broken");
    std::fs::write(&broken, b"broken").unwrap();
    let revision = Digest::of(b"revision");
    remote.put(&name(&revision), &broken).unwrap();
    let collect = |live| crate::collect(&store, &key, &HashSet::from([live]), Duration::ZERO);
    assert!(matches!(collect(revision), Err(Error::Damaged(damaged)) if damaged == revision));
    assert!(store.path(&named).exists());
    assert_eq!(remote.list(ARTIFACTS).unwrap().len(), 2);
    // One that is nowhere names nothing.
    assert_eq!(collect(Digest::of(b"nowhere")).unwrap().removed, 1);
}
