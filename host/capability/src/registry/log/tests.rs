use micro_api::registry::Node;

use super::*;

/// As clients do: what is known, and what came since the last reset while its list goes on.
#[derive(Default)]
struct Watcher {
    known: BTreeMap<(String, String), Service>,
    seen: Option<BTreeSet<(String, String)>>,
    after: Option<String>,
    resets: usize,
    /// What came after lists: name, version and what happened.
    told: Vec<(Action, String, String)>,
}

impl Watcher {
    /// Takes the first `taken` of the changes, as if the connection was cut after them.
    fn take(&mut self, found: Changes, taken: usize) {
        let is_whole = taken >= found.changes.len();
        if found.reset {
            self.resets += 1;
            self.seen = Some(BTreeSet::new());
        }
        for change in found.changes.into_iter().take(taken) {
            let service = change.service.unwrap();
            let key = (service.name.clone(), service.version.clone());
            match (&mut self.seen, change.action) {
                (Some(seen), Action::Create) => {
                    seen.insert(key.clone());
                }
                (Some(_), other) => panic!("{other:?} within a list"),
                (None, action) => self.told.push((action, key.0.clone(), key.1.clone())),
            }
            match change.action {
                Action::Delete => drop(self.known.remove(&key)),
                _ => drop(self.known.insert(key, service)),
            }
            self.after = Some(change.revision);
        }
        if is_whole {
            self.after = Some(found.revision);
            if let Some(seen) = self.seen.take_if(|_| found.ready) {
                self.known.retain(|key, _| seen.contains(key));
            }
        }
    }

    /// To the end, without cuts.
    fn catch_up(&mut self, log: &Log, namespace: &Namespace, only: Option<&ServiceName>) {
        loop {
            let found = log.changes(namespace, only, self.after.as_deref());
            let (is_end, all) = (found.ready && found.changes.is_empty(), found.changes.len());
            let is_same = self.after.as_ref() == Some(&found.revision);
            self.take(found, all);
            if is_end && is_same {
                return;
            }
        }
    }
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn space(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn service(name: &str, version: &str, node: &str) -> Service {
    let nodes = vec![Node { id: node.to_owned(), ..Node::default() }];
    Service { name: name.to_owned(), version: version.to_owned(), nodes, ..Service::default() }
}

fn log(bounds: Bounds) -> Log {
    Log::bounded(vec![service("store", "0.1.0", "host"), service("api", "0.1.0", "host")], bounds)
}

fn wide() -> Bounds {
    Bounds { changes: CHANGES_MAX, bytes: BYTES_MAX, page: PAGE_CHANGES_MAX }
}

type Map = BTreeMap<Key, Arc<Service>>;

fn put(map: &mut Map, namespace: &str, service: Service) {
    let key = (space(namespace), service.name.clone(), service.version.clone());
    map.insert(key, Arc::new(service));
}

/// One random change of one of two namespaces.
fn change(map: &mut Map, dice: &mut Dice) {
    let namespace = if dice.roll(3) == 0 { "other" } else { "own" };
    let name = ["api", "a", "b", "c", "store", "zoo"][dice.roll(6) as usize];
    let version = ["latest", "v1"][dice.roll(2) as usize];
    let key = (space(namespace), name.to_owned(), version.to_owned());
    if map.contains_key(&key) && dice.roll(2) == 0 {
        map.remove(&key);
    } else {
        put(map, namespace, service(name, version, &dice.roll(1_000_000).to_string()));
    }
}

/// What a namespace sees, by the same rule as a look-up.
fn seen_by(map: &Map, namespace: &str) -> BTreeMap<(String, String), Service> {
    let own = map.iter().filter(|((space, ..), _)| space.as_str() == namespace);
    let mut seen: BTreeMap<_, _> = own
        .map(|((_, name, version), service)| ((name.clone(), version.clone()), service.as_ref().clone()))
        .collect();
    for name in ["store", "api"] {
        if !seen.keys().any(|(own, _)| own == name) {
            seen.insert((name.to_owned(), "0.1.0".to_owned()), service(name, "0.1.0", "host"));
        }
    }
    seen
}

#[test]
fn the_first_answer_is_all_that_is_there() {
    let log = log(wide());
    let mut map = Map::new();
    put(&mut map, "own", service("b", "latest", "1"));
    put(&mut map, "own", service("b", "v1", "2"));
    put(&mut map, "other", service("secret", "latest", "3"));
    log.follow(|| map.clone());
    let found = log.changes(&space("own"), None, None);
    assert!(found.reset && found.ready);
    let names: Vec<_> =
        found.changes.iter().map(|change| change.service.as_ref().unwrap().name.as_str()).collect();
    assert_eq!(names, ["api", "b", "b", "store"]);
    assert!(found.changes.iter().all(|change| change.action == Action::Create && change.timestamp > 0));
    let again = log.changes(&space("own"), None, Some(&found.revision));
    assert!(!again.reset && again.ready && again.changes.is_empty());
    // Only one of them, and none that is not there.
    let (b, none) = ("b".parse().unwrap(), "none".parse().unwrap());
    assert_eq!(log.changes(&space("own"), Some(&b), None).changes.len(), 2);
    assert!(log.changes(&space("own"), Some(&none), None).changes.is_empty());
    // A place of another log, or what is none.
    for after in ["0-0", "nonsense", ""] {
        assert!(log.changes(&space("own"), None, Some(after)).reset, "{after}");
    }
}

#[test]
fn a_watcher_that_is_cut_off_misses_none_of_a_thousand_changes() {
    let log = log(wide());
    let (mut map, mut dice, mut watcher) = (Map::new(), Dice(0x9e37_79b9), Watcher::default());
    let own = space("own");
    watcher.catch_up(&log, &own, None);
    let mut expected = Vec::new();
    for _ in 0..1_000 {
        let before = seen_by(&map, "own");
        change(&mut map, &mut dice);
        log.follow(|| map.clone());
        let after = seen_by(&map, "own");
        expected.extend(
            before.keys().filter(|key| !after.contains_key(*key)).map(|key| (Action::Delete, key.clone())),
        );
        expected.extend(after.iter().filter_map(|(key, service)| match before.get(key) {
            None => Some((Action::Create, key.clone())),
            Some(known) if known != service => Some((Action::Update, key.clone())),
            Some(_) => None,
        }));
        if dice.roll(4) == 0 {
            let found = log.changes(&own, None, watcher.after.as_deref());
            let taken = dice.roll(found.changes.len() as u64 + 1) as usize;
            watcher.take(found, taken);
        }
    }
    watcher.catch_up(&log, &own, None);
    assert_eq!(watcher.resets, 1);
    let told = watcher.told.into_iter().map(|(action, name, version)| (action, (name, version)));
    // Where a version comes and the platform's goes in one step, their order is not that of their names.
    let by_key = |all: Vec<(Action, (String, String))>| {
        let mut by: BTreeMap<_, Vec<_>> = BTreeMap::new();
        all.into_iter().for_each(|(action, key)| by.entry(key).or_default().push(action));
        by
    };
    assert_eq!(by_key(told.collect()), by_key(expected));
    assert_eq!(watcher.known, seen_by(&map, "own"));
}

#[test]
fn a_watcher_that_was_away_for_too_long_begins_anew() {
    for page in [1, 2, 256] {
        let log = log(Bounds { changes: 10, bytes: BYTES_MAX, page });
        let (mut map, mut dice, mut watcher) = (Map::new(), Dice(7), Watcher::default());
        let own = space("own");
        for _ in 0..1_000 {
            change(&mut map, &mut dice);
            log.follow(|| map.clone());
            if dice.roll(6) == 0 {
                let found = log.changes(&own, None, watcher.after.as_deref());
                let taken = dice.roll(found.changes.len() as u64 + 1) as usize;
                watcher.take(found, taken);
            }
        }
        watcher.catch_up(&log, &own, None);
        assert!(watcher.resets > 1, "{}", watcher.resets);
        assert_eq!(watcher.known, seen_by(&map, "own"));
    }
}

#[test]
fn a_list_goes_on_while_what_is_there_changes() {
    let log = log(Bounds { page: 1, ..wide() });
    let mut map = Map::new();
    for name in ["b", "d", "f"] {
        put(&mut map, "own", service(name, "latest", "1"));
    }
    log.follow(|| map.clone());
    let (own, mut watcher) = (space("own"), Watcher::default());
    for _ in 0..3 {
        let found = log.changes(&own, None, watcher.after.as_deref());
        watcher.take(found, 1);
    }
    // One before the place, one after it, one that was told already, one that is new.
    map.remove(&(own.clone(), "b".to_owned(), "latest".to_owned()));
    map.remove(&(own.clone(), "f".to_owned(), "latest".to_owned()));
    put(&mut map, "own", service("a", "latest", "2"));
    put(&mut map, "own", service("d", "latest", "2"));
    put(&mut map, "own", service("e", "latest", "2"));
    log.follow(|| map.clone());
    watcher.catch_up(&log, &own, None);
    assert_eq!(watcher.resets, 1);
    assert_eq!(watcher.known, seen_by(&map, "own"));
}

#[test]
fn a_log_has_bounds() {
    let log = log(Bounds { changes: 5, bytes: 2_000, page: 4 });
    let mut map = Map::new();
    for n in 0..50 {
        put(&mut map, "own", service("a", "latest", &n.to_string().repeat(20)));
        log.follow(|| map.clone());
        let state = log.state.lock();
        assert!(state.changes.len() <= 5 && state.bytes <= 2_000, "{}", state.bytes);
        assert_eq!(state.bytes, state.changes.iter().map(|change| size(&change.service)).sum::<usize>());
    }
    // One that is larger than all is not kept, so who follows begins anew.
    let place = log.changes(&space("own"), None, None).revision;
    put(&mut map, "own", service("a", "latest", &"x".repeat(5_000)));
    log.follow(|| map.clone());
    assert!(log.state.lock().changes.is_empty());
    assert!(log.changes(&space("own"), None, Some(&place)).reset);
}

#[test]
fn only_what_differs_is_a_change() {
    let log = log(wide());
    let mut map = Map::new();
    put(&mut map, "own", service("a", "latest", "1"));
    log.follow(|| map.clone());
    let revision = log.state.lock().revision;
    // The same again, made anew.
    put(&mut map, "own", service("a", "latest", "1"));
    log.follow(|| map.clone());
    assert_eq!(log.state.lock().revision, revision);
}

#[tokio::test]
async fn a_watcher_is_woken_and_told_everything() {
    let log = Arc::new(log(Bounds { changes: 50, bytes: BYTES_MAX, page: 8 }));
    let writer = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            let (mut map, mut dice) = (Map::new(), Dice(99));
            for _ in 0..1_000 {
                change(&mut map, &mut dice);
                log.follow(|| map.clone());
                tokio::task::yield_now().await;
            }
            put(&mut map, "own", service("end", "latest", "1"));
            log.follow(|| map.clone());
            map
        }
    });
    let (own, mut watcher) = (space("own"), Watcher::default());
    let end = ("end".to_owned(), "latest".to_owned());
    while !watcher.known.contains_key(&end) || watcher.seen.is_some() {
        let found = log.watch(&own, None, watcher.after.clone(), Duration::from_secs(3_600)).await;
        let all = found.changes.len();
        watcher.take(found, all);
    }
    assert_eq!(watcher.known, seen_by(&writer.await.unwrap(), "own"));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_of_one_service_is_not_woken_by_others_and_its_place_moves_on() {
    let log = Arc::new(log(wide()));
    let (own, b) = (space("own"), "b".parse().unwrap());
    let first = log.watch(&own, Some(&b), None, Duration::from_secs(1)).await;
    assert!(first.reset);
    let mut map = Map::new();
    put(&mut map, "own", service("a", "latest", "1"));
    log.follow(|| map.clone());
    let found = log.watch(&own, Some(&b), Some(first.revision.clone()), Duration::from_secs(1)).await;
    assert!(found.changes.is_empty() && found.ready && found.revision != first.revision);
    put(&mut map, "own", service("b", "latest", "1"));
    log.follow(|| map.clone());
    let found = log.watch(&own, Some(&b), Some(found.revision), Duration::from_secs(1)).await;
    assert_eq!(found.changes.len(), 1);
}
