//! A watcher against a server that cuts its answers anywhere, also within a line, and that forgets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::routing::get;
use futures::stream;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// A server's log, as the platform's is: revisions without gaps, and what is there.
#[derive(Default)]
struct Registry {
    /// Action, name and a mark that tells records of one name apart.
    log: Vec<(Action, String, u32)>,
    now: BTreeMap<String, u32>,
    /// How far back it reaches.
    reach: usize,
    dice: u64,
    requests: usize,
    resets: usize,
}

type Shared = Arc<Mutex<Registry>>;

/// The mark of the last of 1 000 changes.
const LAST: u32 = 999;

fn service(name: &str, mark: u32) -> Service {
    let metadata = [("mark".to_owned(), mark.to_string())].into();
    Service { name: name.to_owned(), version: "latest".to_owned(), metadata, ..Service::default() }
}

impl Registry {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    fn change(&mut self, mark: u32) {
        // The last is another one, so that who was told it knows that no more comes.
        let name = if mark == LAST { "zzz".to_owned() } else { format!("s{}", self.roll(12)) };
        let action = match self.now.contains_key(&name) {
            true if self.roll(2) == 0 => Action::Delete,
            true => Action::Update,
            false => Action::Create,
        };
        if action == Action::Delete {
            self.now.remove(&name);
        } else {
            self.now.insert(name.clone(), mark);
        }
        self.log.push((action, name, mark));
    }

    /// All lines for who is at `after`, as many bytes as the connection lasts.
    fn answer(&mut self, after: Option<&str>) -> String {
        self.requests += 1;
        let end = self.log.len();
        let line = |action: Action, revision: usize, service: Option<Service>| {
            let line = json!(Change { action, revision: revision.to_string(), timestamp: 1, service });
            format!("{line}\n")
        };
        let after = after.and_then(|after| after.parse::<usize>().ok());
        let after = after.filter(|after| end - after <= self.reach);
        let mut text = String::new();
        let from = after.unwrap_or(end);
        if after.is_none() {
            self.resets += 1;
            // Who is cut off within the list has no place in it, and begins anew.
            let begin =
                json!(Change { action: Action::Reset, revision: String::new(), timestamp: 1, service: None });
            text.push_str(&format!("{begin}\n"));
            for (name, mark) in &self.now {
                let create = json!({"action": "create", "revision": "", "timestamp": 1, "service": service(name, *mark)});
                text.push_str(&format!("{create}\n"));
            }
            text.push_str(&line(Action::Ready, end, None));
        }
        for (at, (action, name, mark)) in self.log.iter().enumerate().skip(from) {
            text.push_str(&line(*action, at + 1, Some(service(name, *mark))));
        }
        text
    }
}

async fn watch(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Body {
    let mut registry = shared.lock().unwrap();
    // It goes on while it is asked.
    for _ in 0..5 {
        let mark = u32::try_from(registry.log.len()).unwrap();
        if mark <= LAST {
            registry.change(mark);
        }
    }
    let mut text = registry.answer(query.get("after").map(String::as_str)).into_bytes();
    let is_over = registry.log.len() > LAST as usize;
    let mut cut = registry.roll(text.len() as u64 + 1) as usize;
    if registry.reach == usize::MAX && registry.requests == 1 {
        // So that all that is told later is a change, and none of it of a list.
        cut = text.len();
    }
    if is_over && registry.roll(4) == 0 {
        return Body::from_stream(
            stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]).chain(stream::pending()),
        );
    }
    text.truncate(cut);
    // The connection breaks, once what came before is on its way: a body that has no more for now is sent.
    let cut = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    Body::from_stream(stream::iter([Ok(Bytes::from(text))]).chain(cut))
}

/// Follows a registry of 1 000 changes until it knows all that is there; what was told.
async fn follow(reach: usize) -> (Vec<Change>, Shared) {
    let shared = Arc::new(Mutex::new(Registry { reach, dice: 0x1234_5678_9abc, ..Registry::default() }));
    let router = Router::new().route(REGISTRY_WATCH, get(watch)).with_state(Arc::clone(&shared));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(address.parse().unwrap()).unwrap();
    let mut watcher = Watcher::new(&client, None);
    // How long it rests does not matter here.
    (watcher.pause, watcher.first_pause) = (Duration::ZERO, Duration::ZERO);
    let mut told = Vec::new();
    loop {
        told.push(watcher.next().await.unwrap());
        let registry = shared.lock().unwrap();
        let now: BTreeMap<_, _> =
            registry.now.iter().map(|(name, mark)| (name.clone(), service(name, *mark))).collect();
        let known: BTreeMap<_, _> =
            watcher.known().map(|known| (known.name.clone(), known.clone())).collect();
        if registry.log.len() > LAST as usize && known == now {
            drop(registry);
            return (told, shared);
        }
    }
}

/// What changes make of nothing.
fn replayed(told: &[Change]) -> BTreeMap<String, Service> {
    let mut all = BTreeMap::new();
    for change in told {
        let service = change.service.clone().unwrap();
        match change.action {
            Action::Create => assert!(all.insert(service.name.clone(), service).is_none(), "{change:?}"),
            Action::Update => assert!(all.insert(service.name.clone(), service).is_some(), "{change:?}"),
            Action::Delete => assert!(all.remove(&service.name).is_some(), "{change:?}"),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[tokio::test]
async fn none_of_a_thousand_changes_is_missed_through_cut_connections() {
    let (told, shared) = follow(usize::MAX).await;
    let registry = shared.lock().unwrap();
    assert!(registry.requests > 50, "{}", registry.requests);
    // After the list, every change once and in order.
    let listed = told.iter().take_while(|change| change.revision.is_empty()).count();
    let after = &told[listed..];
    let first = after[0].revision.parse::<usize>().unwrap() - 1;
    let expected: Vec<_> =
        registry.log[first..].iter().map(|(action, name, _)| (*action, name.as_str())).collect();
    let found: Vec<_> =
        after.iter().map(|change| (change.action, change.service.as_ref().unwrap().name.as_str())).collect();
    assert_eq!(found, expected[..found.len()]);
    assert!(found.len() > 900, "{}", found.len());
    let marks = |all: BTreeMap<String, Service>| -> BTreeMap<String, String> {
        all.into_iter().map(|(name, service)| (name, service.metadata["mark"].clone())).collect()
    };
    let now = registry.now.iter().map(|(name, mark)| (name.clone(), mark.to_string())).collect();
    assert_eq!(marks(replayed(&told)), now);
}

#[tokio::test]
async fn a_server_that_forgot_gives_the_difference() {
    let (told, shared) = follow(3).await;
    let registry = shared.lock().unwrap();
    assert!(registry.resets > 10, "{}", registry.resets);
    let names: Vec<_> = replayed(&told).into_keys().collect();
    assert_eq!(names, registry.now.keys().cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_another_try_does_not_mend_is_told() {
    let refuse = || async {
        let error = micro_api::Error::unauthorized("go.micro.auth", "Invalid token");
        (axum::http::StatusCode::UNAUTHORIZED, error.to_json())
    };
    let router = Router::new().route(REGISTRY_WATCH, get(refuse));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(address.parse().unwrap()).unwrap();
    let error = Watcher::new(&client, None).next().await.unwrap_err();
    assert_eq!(error.code(), 401);
}
