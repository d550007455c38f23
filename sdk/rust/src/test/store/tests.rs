use std::path::{Path, PathBuf};

use super::*;
use crate::store;
use crate::test::World;

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("micro-sdk-{name}-{}", std::process::id()));
        Self(folder)
    }

    fn place(&self) -> String {
        format!("file:{}", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn keys(world: &World) -> Vec<String> {
    world.block_on(store::list(store::Range::default())).unwrap()
}

#[test]
fn the_variable_names_a_place() {
    for text in ["", "memory"] {
        assert_eq!(Place::parse(text), Ok(Place::Memory));
    }
    assert_eq!(Place::parse("file:/a:b"), Ok(Place::Folder("/a:b".into())));
    for text in ["file", "file:", "sqlite", "redis://127.0.0.1", "memory:x"] {
        let said = Place::parse(text).unwrap_err();
        let wanted = format!("MICRO_STORE=`{text}`: a test has the stores `memory` and `file:FOLDER`");
        assert!(said.starts_with(&wanted), "{said}");
    }
}

#[test]
fn records_in_memory_end_with_the_platform_and_those_in_a_file_stay() {
    let folder = Folder::new("stay");
    for (place, left) in [("memory".to_owned(), 0), (folder.place(), 3)] {
        let world = World::with_store(&place);
        let hour = Duration::from_secs(3_600);
        world
            .block_on(async {
                store::set("gone", "x").await?;
                store::set("a", "1").await?;
                store::set_for("b", [0, 255], hour).await?;
                store::increment_for("c", 7, hour).await?;
                assert_eq!(store::increment("c", 1).await?, 8);
                store::delete("gone").await?;
                assert!(store::swap("a", Some(b"1"), "2").await?);
                assert!(!store::swap("a", Some(b"1"), "3").await?);
                Ok::<_, Error>(())
            })
            .unwrap();
        world.restart();
        assert_eq!(keys(&world).len(), left, "{place}");
        if left > 0 {
            let get = |key: &str| world.block_on(store::get(key)).unwrap().unwrap();
            assert_eq!((get("a").value, get("a").expiry), (b"2".to_vec(), None));
            assert_eq!((get("b").value, get("c").value), (vec![0, 255], b"8".to_vec()));
            for key in ["b", "c"] {
                let expiry = get(key).expiry.unwrap();
                assert!(expiry <= hour && expiry > hour / 2, "{key}: {expiry:?}");
            }
        }
        // A new platform is an empty one all the same.
        let world = World::with_store(&place);
        assert!(keys(&world).is_empty());
    }
}

#[test]
fn what_expired_while_nobody_looked_is_gone() {
    let folder = Folder::new("expired");
    let place = Place::parse(&folder.place()).unwrap();
    let mut table = Table::open(&place, true).unwrap();
    let past = SystemTime::now() - Duration::from_secs(1);
    table.write(vec![("a".to_owned(), Some((b"x".to_vec(), Some(past))))]).unwrap();
    drop(table);
    let table = Table::open(&place, false).unwrap();
    assert!(table.get("a").is_none() && table.records.contains_key("a"));
}

fn file_of(folder: &Path) -> PathBuf {
    file::path(folder)
}

#[test]
fn a_change_that_was_cut_short_is_none_and_the_next_one_follows_the_last_whole_one() {
    let folder = Folder::new("torn");
    let place = Place::parse(&folder.place()).unwrap();
    let path = file_of(&folder.0);
    let mut table = Table::open(&place, true).unwrap();
    table.set("a".to_owned(), b"1".to_vec(), None).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    let both = ["b", "c"].map(|key| Change { key: key.to_owned(), write: Some((b"2".to_vec(), None)) });
    assert!(table.commit(&[], both.into()).unwrap());
    drop(table);
    let bytes = std::fs::read(&path).unwrap();
    for cut in whole..bytes.len() as u64 {
        std::fs::write(&path, &bytes[..cut as usize]).unwrap();
        let mut table = Table::open(&place, false).unwrap();
        assert_eq!(table.records.len(), 1, "cut at {cut}: both or none");
        table.set("d".to_owned(), b"3".to_vec(), None).unwrap();
        drop(table);
        let table = Table::open(&place, false).unwrap();
        assert_eq!(table.records.keys().collect::<Vec<_>>(), ["a", "d"], "cut at {cut}");
    }
}

#[test]
fn another_file_is_refused_with_its_name() {
    let folder = Folder::new("other");
    let path = file_of(&folder.0);
    std::fs::create_dir_all(&folder.0).unwrap();
    std::fs::write(&path, "not ours").unwrap();
    let said = Table::open(&Place::Folder(folder.0.clone()), false).err().unwrap();
    assert!(said.contains("MICRO_STORE") && said.contains(&path.display().to_string()), "{said}");
    // It would be forgotten anyhow, but it is somebody's.
    assert!(Table::open(&Place::Folder(folder.0.clone()), true).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not ours");
}

#[test]
fn tests_do_not_meet() {
    let folder = Folder::new("apart");
    let place = folder.place();
    let other = place.clone();
    let world = World::with_store(&place);
    world.block_on(store::set("mine", "x")).unwrap();
    let run = move || {
        let world = World::with_store(&other);
        assert!(keys(&world).is_empty());
        world.block_on(store::set("theirs", "x")).unwrap();
    };
    std::thread::Builder::new().name("another::test".to_owned()).spawn(run).unwrap().join().unwrap();
    world.restart();
    assert_eq!(keys(&world), ["mine"]);
}
