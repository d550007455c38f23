//! How large a file may be.

use std::collections::HashMap;

use super::*;
use crate::events::{GroupKey, Lease};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Events that are appended at once.
const BATCH: u64 = 64;

/// A namespace whose plan a test sets.
struct Space {
    namespace: Namespace,
    plans: Arc<Plans>,
}

impl Space {
    fn new(bytes: u64) -> Self {
        let space = Self { namespace: "one".parse().unwrap(), plans: Arc::default() };
        space.keep(bytes);
        space
    }

    fn keep(&self, bytes: u64) {
        let retention = Retention { bytes, ..Retention::default() };
        self.plans.limit(HashMap::from([(self.namespace.clone(), retention)]));
    }

    /// A file that may have 1 MiB whatever the plan says.
    fn open(&self, path: Option<&Path>) -> EventFile {
        EventFile::open(&self.namespace, path, MIB, Arc::clone(&self.plans)).unwrap()
    }

    fn topic(&self, name: &str) -> TopicKey {
        TopicKey::named(&self.namespace, name).unwrap()
    }

    /// Appends events of a topic that together count so many bytes.
    fn append(&self, file: &mut EventFile, topic: &str, count: u64, bytes: u64) -> Result<(), Error> {
        let payload = vec![0; usize::try_from(bytes / count).unwrap() - EVENT_BYTES];
        let event = || New { id: Uuid::new_v4(), metadata: BTreeMap::new(), payload: payload.clone().into() };
        let events: Vec<_> = (0..count).map(|_| event()).collect();
        file.append(&self.topic(topic), &events, 1).map(drop)
    }

    /// What takes ten times as much as it counts: no payload, and as long a topic as there is.
    fn append_tiny(&self, file: &mut EventFile) -> Result<(), Error> {
        self.append(file, &"t".repeat(256), BATCH, BATCH * EVENT_BYTES as u64)
    }
}

fn pages(file: &EventFile, pragma: &str) -> u64 {
    from_sql(file.connection().query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap())
}

#[test]
fn a_file_has_room_for_what_its_plan_keeps_and_is_trimmed_to_a_smaller_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let space = Space::new(8 * MIB);
    let mut file = space.open(Some(&path));
    for _ in 0..6 {
        space.append(&mut file, "t", 1, MIB).unwrap();
    }
    assert_eq!(file.held().unwrap(), 6 * MIB);
    let kept = |file: &mut EventFile| file.topics().unwrap()[0].events;
    assert_eq!(kept(&mut file), 6);
    for _ in 0..4 {
        space.append(&mut file, "t", 1, MIB).unwrap();
    }
    assert_eq!((file.held().unwrap(), kept(&mut file)), (8 * MIB, 8), "the plan holds");
    let grown = pages(&file, "page_count");
    drop(file);

    // The file is larger than this plan needs: what comes has the place of what goes.
    space.keep(256 * KIB);
    let mut file = space.open(Some(&path));
    assert_eq!(pages(&file, "max_page_count"), grown);
    space.append(&mut file, "t", 1, 200 * KIB).unwrap();
    assert_eq!((file.held().unwrap(), kept(&mut file)), (200 * KIB, 1));
    assert_eq!(pages(&file, "page_count"), grown);
}

#[test]
fn a_file_that_is_open_follows_its_plan() {
    let space = Space::new(256 * KIB);
    let mut file = space.open(None);
    let full = loop {
        if let Err(full) = space.append_tiny(&mut file) {
            break full;
        }
        assert!(file.held().unwrap() < 256 * KIB, "the file is bounded");
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert!(pages(&file, "page_count") * 4_096 <= MIB);
    let before = file.held().unwrap();

    space.keep(8 * MIB);
    for _ in 0..BATCH {
        space.append_tiny(&mut file).unwrap();
    }
    assert_eq!(file.held().unwrap(), before + BATCH * BATCH * EVENT_BYTES as u64);
    assert_eq!(pages(&file, "max_page_count") * 4_096, 4 * 8 * MIB);

    // A group and a sweep follow it too.
    let group = GroupKey::named(space.topic("u"), "g").unwrap();
    space.keep(16 * MIB);
    file.next(&group, &Lease::default(), 1).unwrap();
    assert_eq!(pages(&file, "max_page_count") * 4_096, 4 * 16 * MIB);
    space.keep(KIB);
    file.sweep(1).unwrap();
    assert!(file.held().unwrap() <= KIB);
    assert_eq!(pages(&file, "max_page_count"), pages(&file, "page_count"));
    space.append_tiny(&mut file).unwrap();
    assert!(file.held().unwrap() <= KIB);
}

#[test]
fn no_plan_is_too_large_to_be_followed() {
    let space = Space::new(u64::MAX);
    let mut file = space.open(None);
    space.append(&mut file, "t", 2, 4 * MIB).unwrap();
    assert_eq!(file.held().unwrap(), 4 * MIB);
    space.keep(0);
    space.append(&mut file, "t", 1, MIB).unwrap();
    assert_eq!(file.held().unwrap(), 0);
}
