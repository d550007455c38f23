//! Backups of a small platform, and what a hostile or broken one does: nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use micro_artifact::{Digest, Key, Store};
use micro_db::Db;
use serde_json::{Value, json};

use super::*;
use crate::config::{Cli, Options, Role};

/// A platform's data that no server serves.
struct Fixture {
    scratch: tempfile::TempDir,
}

impl Fixture {
    /// With an operator, a cached artifact, an upload and the store of one namespace.
    async fn new() -> Self {
        let fixture = Self { scratch: tempfile::tempdir().unwrap() };
        let data = fixture.data();
        std::fs::create_dir(&data).unwrap();
        let db = fixture.db(&data).await;
        db.migrate().await.unwrap();
        db.ensure_operator().await.unwrap();
        let artifacts = artifacts(&data);
        let (used, _unused) = (artifacts.put(b"used").unwrap(), artifacts.put(b"unused").unwrap());
        let namespace = "jane".parse().unwrap();
        let entry = micro_db::CacheEntry { value: "v".to_owned(), artifacts: vec![used] };
        db.build_cache_put(&namespace, "k", &entry).await.unwrap();
        let upload = "0193e2ad-0000-7000-8000-000000000000";
        db.insert_upload(&namespace, upload, 6, 100).await.unwrap();
        std::fs::create_dir(data.join(UPLOADS)).unwrap();
        std::fs::write(data.join(UPLOADS).join(format!("{upload}.tar.gz")), b"source").unwrap();
        Key::open(&data.join(ARTIFACT_KEY)).unwrap();
        let config = micro_capability::store::SqliteConfig::new(data.join(STORE));
        drop(micro_capability::store::Sqlite::open(&config).unwrap());
        std::fs::write(data.join("master.key"), "0123456789abcdef".repeat(4)).unwrap();
        std::fs::set_permissions(data.join("master.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let options = options(&data, &[]);
        let sealer = crate::secrets::sealer(&options, &data, &db).await.unwrap();
        micro_control::Credentials::open(db.clone(), sealer, options.audience()).await.unwrap();
        db.close().await;
        fixture
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    async fn db(&self, data: &Path) -> Db {
        Db::connect(&format!("sqlite://{}", data.join("control.db").display())).await.unwrap()
    }

    async fn back_up(&self) -> PathBuf {
        let file = self.path("backup.tar");
        back_up(&options(&self.data(), &[]), &self.data(), &file).await.unwrap();
        file
    }

    /// Restores and says why not; then the target is as it was.
    async fn refused(&self, backup: &Path, flags: &[&str]) -> String {
        let target = self.path("target");
        for there in [false, true] {
            if there {
                std::fs::create_dir(&target).unwrap();
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o700)).unwrap();
            }
            let error = restore(&options(&target, flags), &target, backup).await.unwrap_err();
            assert_eq!(target.exists(), there);
            if there {
                assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
                std::fs::remove_dir(&target).unwrap();
                return format!("{error:#}");
            }
        }
        String::new()
    }
}

fn options(data: &Path, flags: &[&str]) -> Options {
    let data = data.display().to_string();
    match Cli::parse_from(["micro-server", "all", "--data", &data].iter().chain(flags)).role {
        Role::All(options) => *options,
        Role::Admin(_) => panic!("another role"),
    }
}

fn artifacts(data: &Path) -> Store {
    Store::open(&micro_artifact::Config::Filesystem { folder: data.join(ARTIFACTS) }).unwrap()
}

/// The entries of an archive.
fn entries(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(std::fs::File::open(file).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

/// An archive of them, by someone who writes any name and kind.
fn archive(file: &Path, entries: &[(String, Vec<u8>)], kind: tar::EntryType) {
    let mut tar = tar::Builder::new(std::fs::File::create(file).unwrap());
    for (n, (name, bytes)) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o600);
        header.set_size(u64::try_from(bytes.len()).unwrap());
        // The last one is what the test is about.
        header.set_entry_type(if n + 1 == entries.len() { kind } else { tar::EntryType::Regular });
        if kind.is_symlink() && n + 1 == entries.len() {
            header.set_size(0);
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.finish().unwrap();
}

fn manifest(entries: &mut [(String, Vec<u8>)], change: impl FnOnce(&mut Value)) {
    let mut manifest: Value = serde_json::from_slice(&entries[0].1).unwrap();
    change(&mut manifest);
    entries[0].1 = serde_json::to_vec(&manifest).unwrap();
}

#[tokio::test]
async fn what_is_not_in_it_is_named() {
    let fixture = Fixture::new().await;
    let told = async |name: &str, flags: &[&str]| {
        let (options, data) = (options(&fixture.data(), flags), fixture.data());
        back_up(&options, &data, &fixture.path(name)).await.unwrap().to_string()
    };
    let own = told("own.tar", &[]).await;
    assert!(own.contains("Not in it are events in sqlite, blobs in folder:"), "{own}");
    let flags = ["--store", "redis", "--store_address", "redis://localhost", "--events", "memory"];
    let other = told("other.tar", &flags).await;
    assert!(other.contains("Not in it are store in redis, blobs in folder:"), "{other}");
}

#[tokio::test]
async fn what_was_backed_up_is_restored_and_nothing_else() {
    let fixture = Fixture::new().await;
    let file = fixture.back_up().await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = entries(&file).into_iter().map(|entry| entry.0).collect();
    let used = format!("artifacts/{}", Digest::of(b"used").hex());
    assert_eq!(names[0], "manifest.json");
    assert!(names.contains(&used) && names.contains(&"store/_expiries.db".to_owned()), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with(ARTIFACTS)).count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with(UPLOADS)).count(), 1, "{names:?}");
    // The only thing beside the data is the backup.
    assert_eq!(std::fs::read_dir(fixture.scratch.path()).unwrap().count(), 2);

    let target = fixture.path("new/target");
    let told = restore(&options(&target, &[]), &target, &file).await.unwrap().to_string();
    assert!(told.contains("put the master key") && told.contains("the platform had it in"), "{told}");
    let mut found: Vec<_> = std::fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, [ARTIFACT_KEY, ARTIFACTS, "control.db", STORE, UPLOADS]);
    let db = fixture.db(&target).await;
    db.migrate().await.unwrap();
    assert_eq!(db.ensure_operator().await.unwrap(), micro_db::bootstrap::Operator::Known);
    assert!(db.live_artifacts().await.unwrap().contains(&Digest::of(b"used")));
    let old = fixture.db(&fixture.data()).await;
    assert_eq!(db.sealed().await.unwrap(), old.sealed().await.unwrap());
    assert_eq!(artifacts(&target).get(&Digest::of(b"used")).unwrap(), b"used");

    // Again, by its key: what was restored can be backed up and restored.
    let key = fixture.data().join("master.key").display().to_string();
    let (again, third) = (fixture.path("again.tar"), fixture.path("third"));
    let flags = ["--master_key_file", &key];
    back_up(&options(&target, &flags), &target, &again).await.unwrap();
    let told = restore(&options(&third, &flags), &third, &again).await.unwrap().to_string();
    assert!(told.contains("with the same master key"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_there_is_kept_and_a_folder_that_is_no_platforms_is_named() {
    let fixture = Fixture::new().await;
    let file = fixture.path("notes.txt");
    std::fs::write(&file, "mine").unwrap();
    let error = back_up(&options(&fixture.data(), &[]), &fixture.data(), &file).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let (empty, backup) = (fixture.path("empty"), fixture.path("backup.tar"));
    std::fs::create_dir(&empty).unwrap();
    let error = back_up(&options(&empty, &[]), &empty, &backup).await.unwrap_err();
    assert!(error.to_string().contains("is this the data of a server?"), "{error}");
    assert!(!backup.exists() && std::fs::read_dir(&empty).unwrap().count() == 0);
    // An artifact that a disk has damaged is no backup either.
    std::fs::write(artifacts(&fixture.data()).path(&Digest::of(b"used")), b"evil").unwrap();
    let error = back_up(&options(&fixture.data(), &[]), &fixture.data(), &backup).await.unwrap_err();
    assert!(format!("{error:#}").contains("damaged"), "{error:#}");
    assert!(!backup.exists());
}

#[tokio::test]
async fn a_hostile_archive_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let good = entries(&fixture.back_up().await);
    let bad = fixture.path("bad.tar");
    let regular = tar::EntryType::Regular;
    // Names that the manifest does not have, and names that it must not have.
    for name in ["../evil", "/tmp/evil", "store/../../evil", "evil", "store/x.db", "artifact.key"] {
        let entry = (name.to_owned(), b"evil".to_vec());
        archive(&bad, &[&good[..], &[entry]].concat(), regular);
        let why = fixture.refused(&bad, &[]).await;
        assert!(why.contains("which its manifest does not list, or has it twice"), "{name}: {why}");
        let mut listed = good.clone();
        manifest(&mut listed, |manifest| {
            let sha256 = Digest::of(b"evil").hex();
            let file = json!({"path": name, "bytes": 4, "sha256": sha256});
            manifest["files"].as_array_mut().unwrap().push(file);
        });
        listed.push((name.to_owned(), b"evil".to_vec()));
        archive(&bad, &listed, regular);
        if name != "store/x.db" {
            let why = fixture.refused(&bad, &[]).await;
            assert!(why.contains("which no platform has") || why.contains("twice"), "{name}: {why}");
        }
        // With the key even a name that is fine is refused: the manifest is not the one that was written.
        let key = fixture.data().join("master.key").display().to_string();
        let why = fixture.refused(&bad, &["--master_key_file", &key]).await;
        assert!(
            why.contains("was changed") || why.contains("which no platform has") || why.contains("twice")
        );
    }
    assert!(!fixture.path("evil").exists() && !Path::new("/tmp/evil").exists());
    // Another kind of entry in the place of a file.
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Fifo]
    {
        archive(&bad, &good, kind);
        let why = fixture.refused(&bad, &[]).await;
        assert!(why.contains("no plain file"), "{kind:?}: {why}");
    }
}

#[tokio::test]
async fn a_broken_archive_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let file = fixture.back_up().await;
    let good = entries(&file);
    let bad = fixture.path("bad.tar");
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 1, 511, 512, 700, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2_048] {
        std::fs::write(&bad, &bytes[..length]).unwrap();
        fixture.refused(&bad, &[]).await;
    }
    for n in 1..good.len() {
        let mut changed = good.clone();
        let Some(byte) = changed[n].1.last_mut() else { continue };
        *byte ^= 1;
        archive(&bad, &changed, tar::EntryType::Regular);
        let why = fixture.refused(&bad, &[]).await;
        assert!(why.contains("has another digest"), "{why}");
        changed.remove(n);
        archive(&bad, &changed, tar::EntryType::Regular);
        assert!(fixture.refused(&bad, &[]).await.contains("is cut off"), "without {}", good[n].0);
    }
    // Rows that do not fit the schema, with the right digests.
    for rows in ["[\"nothing\"]\n", "[\"namespace\",\"service\",\"created_ms\",\"public\"]\n[1]\n", "{}", ""]
    {
        let mut changed = good.clone();
        changed.iter_mut().find(|entry| entry.0 == "control/services.jsonl").unwrap().1 = rows.into();
        manifest(&mut changed, |manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            let file = files.iter_mut().find(|file| file["path"] == "control/services.jsonl").unwrap();
            file["bytes"] = json!(rows.len());
            file["sha256"] = json!(Digest::of(rows.as_bytes()).hex());
        });
        archive(&bad, &changed, tar::EntryType::Regular);
        let why = fixture.refused(&bad, &[]).await;
        assert!(why.contains("restore the table services"), "{why}");
    }
}

#[tokio::test]
async fn another_schema_and_another_key_are_named() {
    let fixture = Fixture::new().await;
    let good = entries(&fixture.back_up().await);
    let bad = fixture.path("bad.tar");
    let mut newer = good.clone();
    manifest(&mut newer, |manifest| manifest["schema"] = json!(9_999));
    archive(&bad, &newer, tar::EntryType::Regular);
    let why = fixture.refused(&bad, &[]).await;
    assert!(why.contains("newer version of micro") && why.contains("9999"), "{why}");

    let other = fixture.path("other.key");
    std::fs::write(&other, "fedcba9876543210".repeat(4)).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let other = other.display().to_string();
    let why = fixture.refused(&fixture.path("backup.tar"), &["--master_key_file", &other]).await;
    assert!(why.contains("the backup needs the master key"), "{why}");
    // Nor is a backup made that names a key which opens nothing.
    let (data, flags) = (fixture.data(), ["--master_key_file", &other]);
    let error = back_up(&options(&data, &flags), &data, &fixture.path("b.tar")).await.unwrap_err();
    assert!(error.to_string().contains("is sealed by the master key"), "{error}");
    // Without any key the digests alone are checked.
    std::fs::remove_file(data.join("master.key")).unwrap();
    let said = back_up(&options(&data, &[]), &data, &fixture.path("c.tar")).await.unwrap().to_string();
    assert!(said.contains("was not at hand"), "{said}");
}

#[tokio::test]
async fn only_an_empty_folder_is_filled() {
    let fixture = Fixture::new().await;
    let file = fixture.back_up().await;
    let target = fixture.path("target");
    let refused = async || {
        let error = restore(&options(&target, &[]), &target, &file).await.unwrap_err();
        error.to_string()
    };
    std::fs::write(&target, "a file").unwrap();
    assert!(refused().await.contains("is no folder"));
    std::fs::remove_file(&target).unwrap();
    std::fs::create_dir(&target).unwrap();
    assert!(refused().await.contains("chmod 700"));
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(target.join("mine"), "mine").unwrap();
    assert!(refused().await.contains("is not empty"));
    assert_eq!(std::fs::read(target.join("mine")).unwrap(), b"mine");
    std::fs::remove_file(target.join("mine")).unwrap();
    // What an interrupted restore left is no platform, and says so to server and operator.
    std::fs::create_dir(target.join(crate::data::UNFINISHED)).unwrap();
    assert!(refused().await.contains("an interrupted restore"));
    let error = crate::data::DataFolder::open(&target).err().unwrap().to_string();
    assert!(error.contains("restore again"), "{error}");
    std::fs::remove_file(target.join("lock")).unwrap();
    std::fs::remove_dir(target.join(crate::data::UNFINISHED)).unwrap();
    restore(&options(&target, &[]), &target, &file).await.unwrap();
    crate::data::DataFolder::open(&target).unwrap();
    let elsewhere = ["--db", "sqlite:///tmp/other.db"];
    let error = restore(&options(&target, &elsewhere), &target, &file).await.unwrap_err();
    assert!(error.to_string().contains("leave --db away"), "{error}");
}

#[tokio::test]
async fn a_server_refuses_a_newer_database_and_a_missing_key() {
    let fixture = Fixture::new().await;
    let data = fixture.data();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let start = async || {
        let stop = tokio_util::sync::CancellationToken::new();
        format!("{:#}", crate::wire::run(options(&data, &[]), stop).await.unwrap_err())
    };
    std::fs::rename(data.join("master.key"), fixture.path("kept")).unwrap();
    let why = start().await;
    assert!(why.contains("the master key") && why.contains("is missing"), "{why}");
    assert!(!data.join("master.key").exists());
    std::fs::rename(fixture.path("kept"), data.join("master.key")).unwrap();
    let db = fixture.db(&data).await;
    db.pretend_newer_schema().await.unwrap();
    let why = start().await;
    assert!(why.contains("newer version of micro") && why.contains("9999"), "{why}");
    let error = back_up(&options(&data, &[]), &data, &fixture.path("b.tar")).await.unwrap_err();
    assert!(format!("{error:#}").contains("newer version of micro"), "{error:#}");
}

#[test]
fn options_count_before_and_after_the_command() {
    for words in [
        &["micro-server", "admin", "--data", "/d", "backup", "/b.tar"][..],
        &["micro-server", "admin", "backup", "/b.tar", "--data", "/d", "--json"],
        &["micro-server", "admin", "backup", "--data=/d", "/b.tar"],
        &["micro-server", "admin", "restore", "/b.tar", "--data", "/d", "--db", "postgres://x"],
    ] {
        let cli = Cli::try_parse_from(words).unwrap();
        let Role::Admin(args) = cli.role else { panic!("another role") };
        assert_eq!(args.data().unwrap(), Path::new("/d"));
    }
    let help = Cli::try_parse_from(["micro-server", "admin", "restore", "--help"]).unwrap_err().to_string();
    assert!(help.contains("--data") && !help.contains("--smtp_host"), "{help}");
}
