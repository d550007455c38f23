//! What changed in the registry, for those who follow it.
//!
//! A watcher has no queue: it has a place in the one log, asks for what comes after it, and is woken when there is more.
//! Whoever comes for the first time, or was away for longer than the log reaches back, is told all that is there, page
//! by page, and then what changed since the first page. So nothing is lost, and nothing grows with the number of
//! watchers or with how slow they are.

mod all;
mod cursor;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use micro_api::name::{Namespace, ServiceName};
use micro_api::registry::{Action, Change, Changes, Endpoint, Service, Value};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::all::Told;
use self::cursor::{At, Cursor};
use crate::context::unix_ms;

/// Changes that are kept, of all namespaces.
const CHANGES_MAX: usize = 4_096;
/// Bytes of the services in them, about.
const BYTES_MAX: usize = 16 << 20;
/// Changes that are told at once.
const PAGE_CHANGES_MAX: usize = 256;
/// Bytes of the services in them, about; one is told at least.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Bounds of a log.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    changes: usize,
    bytes: usize,
    page: usize,
}

/// The registry of a node and how it came to be so.
#[derive(Debug)]
pub struct Log {
    state: Mutex<State>,
    /// Counts the changes; told after they can be read.
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    /// Which log it is: places in another one mean nothing here.
    epoch: u64,
    /// The last change.
    revision: u64,
    /// What is there, of all namespaces.
    now: BTreeMap<Key, Arc<Service>>,
    /// The platform's own services, which every namespace sees unless it has its own of the name.
    platform: Vec<Arc<Service>>,
    /// The last changes; their revisions have no gaps.
    changes: VecDeque<Logged>,
    /// Of the services in `changes`, about.
    bytes: usize,
}

/// Namespace, name and version: what a record is known by.
pub type Key = (Namespace, String, String);

#[derive(Debug)]
struct Logged {
    namespace: Namespace,
    action: Action,
    timestamp: i64,
    service: Arc<Service>,
}

impl Log {
    /// Nothing is there but the platform's own services.
    pub fn new(platform: Vec<Service>) -> Self {
        let bounds = Bounds { changes: CHANGES_MAX, bytes: BYTES_MAX, page: PAGE_CHANGES_MAX };
        Self::bounded(platform, bounds)
    }

    fn bounded(platform: Vec<Service>, bounds: Bounds) -> Self {
        let mut platform: Vec<_> = platform.into_iter().map(Arc::new).collect();
        platform.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        let state = State {
            bounds,
            epoch: uuid::Uuid::new_v4().as_u64_pair().1,
            revision: 0,
            now: BTreeMap::new(),
            platform,
            changes: VecDeque::new(),
            bytes: 0,
        };
        Self { state: Mutex::new(state), revision: watch::Sender::new(0) }
    }

    /// Makes what `next` gives all that is there. What is equal did not change. One at a time is asked: what was there
    /// first is told first.
    pub fn follow(&self, next: impl FnOnce() -> BTreeMap<Key, Arc<Service>>) {
        let mut state = self.state.lock();
        state.follow(next());
        let revision = state.revision;
        drop(state);
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }

    /// What changed in a namespace after the place `after`, without waiting; all that is there when this log has no
    /// such place, any more or at all. `service`: only that one.
    pub fn changes(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<&str>,
    ) -> Changes {
        let only = service.map(ToString::to_string);
        self.state.lock().changes(namespace, only.as_deref(), after)
    }

    /// As [`Log::changes`], but where nothing changed it waits for up to `wait`.
    pub async fn watch(
        &self,
        namespace: &Namespace,
        service: Option<&ServiceName>,
        after: Option<String>,
        wait: Duration,
    ) -> Changes {
        let mut revision = self.revision.subscribe();
        let until = Instant::now() + wait;
        let mut after = after;
        loop {
            revision.mark_unchanged();
            let found = self.changes(namespace, service, after.as_deref());
            if found.reset || !found.ready || !found.changes.is_empty() {
                return found;
            }
            match tokio::time::timeout_at(until, revision.changed()).await {
                // What changed was another's; the place moves on all the same.
                Ok(Ok(())) => after = Some(found.revision),
                _ => return found,
            }
        }
    }
}

impl State {
    fn follow(&mut self, next: BTreeMap<Key, Arc<Service>>) {
        let before = std::mem::take(&mut self.now);
        let own = differences(&before, &next);
        // A namespace's own service hides the platform's of its name: that one goes before it comes, and comes after it
        // went.
        let turned: BTreeSet<_> = own
            .iter()
            .filter(|(_, action, _)| *action != Action::Update)
            .map(|((namespace, name, _), ..)| (namespace.clone(), name.clone()))
            .filter(|(_, name)| self.platform.iter().any(|service| service.name == *name))
            .filter(|(namespace, name)| has(&before, namespace, name) != has(&next, namespace, name))
            .collect();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (namespace, name) in turned {
            for service in self.platform.iter().filter(|service| service.name == name) {
                let of = |action: Action| (namespace.clone(), action, Arc::clone(service));
                match has(&next, &namespace, &name) {
                    true => first.push(of(Action::Delete)),
                    false => last.push(of(Action::Create)),
                }
            }
        }
        let own = own.into_iter().map(|(key, action, service)| (key.0.clone(), action, Arc::clone(service)));
        let timestamp = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        for (namespace, action, service) in first.into_iter().chain(own).chain(last) {
            self.push(Logged { namespace, action, timestamp, service });
        }
        self.now = next;
    }

    fn push(&mut self, logged: Logged) {
        self.revision += 1;
        self.bytes += size(&logged.service);
        self.changes.push_back(logged);
        while self.changes.len() > self.bounds.changes || self.bytes > self.bounds.bytes {
            let Some(gone) = self.changes.pop_front() else { return };
            self.bytes -= size(&gone.service);
        }
    }

    fn changes(&self, namespace: &Namespace, only: Option<&str>, after: Option<&str>) -> Changes {
        let known = after.and_then(|after| after.parse::<Cursor>().ok());
        match known.filter(|cursor| self.reaches(cursor)) {
            None => {
                let first = Cursor { epoch: self.epoch, revision: self.revision, at: At::Beginning };
                Changes { reset: true, ..self.page(namespace, only, &first) }
            }
            Some(cursor) if cursor.at == At::End => self.since(namespace, only, cursor.revision),
            Some(cursor) => self.page(namespace, only, &cursor),
        }
    }

    /// Whether all that came after the place is still there.
    fn reaches(&self, cursor: &Cursor) -> bool {
        let oldest = self.revision - self.changes.len() as u64;
        cursor.epoch == self.epoch && (oldest..=self.revision).contains(&cursor.revision)
    }

    /// What changed after `revision`.
    fn since(&self, namespace: &Namespace, only: Option<&str>, revision: u64) -> Changes {
        let oldest = self.revision - self.changes.len() as u64;
        let skip = usize::try_from(revision.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let mut cursor = Cursor { epoch: self.epoch, revision, at: At::End };
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for logged in self.changes.iter().skip(skip) {
            let is_meant =
                logged.namespace == *namespace && only.is_none_or(|only| only == logged.service.name);
            if is_meant {
                bytes += size(&logged.service);
                if changes.len() >= self.bounds.page || (bytes > PAGE_BYTES_MAX && !changes.is_empty()) {
                    break;
                }
            }
            cursor.revision += 1;
            if is_meant {
                changes.push(Change {
                    action: logged.action,
                    revision: cursor.to_string(),
                    timestamp: logged.timestamp,
                    service: Some(logged.service.as_ref().clone()),
                });
            }
        }
        Changes { reset: false, ready: true, revision: cursor.to_string(), changes }
    }

    /// What is there after the place, of what was or has come since its revision.
    fn page(&self, namespace: &Namespace, only: Option<&str>, cursor: &Cursor) -> Changes {
        let timestamp = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let mut end = Cursor { at: At::End, ..*cursor };
        for service in self.visible(namespace, only, &cursor.at) {
            bytes += size(service);
            if changes.len() >= self.bounds.page || (bytes > PAGE_BYTES_MAX && !changes.is_empty()) {
                return Changes { reset: false, ready: false, revision: end.to_string(), changes };
            }
            end.at = At::After(service.name.clone(), service.version.clone());
            changes.push(Change {
                action: Action::Create,
                revision: end.to_string(),
                timestamp,
                service: Some(service.as_ref().clone()),
            });
        }
        end.at = At::End;
        Changes { reset: false, ready: true, revision: end.to_string(), changes }
    }

    /// What a namespace sees after the place, in the order of names and versions.
    fn visible<'a>(
        &'a self,
        namespace: &'a Namespace,
        only: Option<&'a str>,
        at: &At,
    ) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        let after = match at {
            At::After(name, version) => (name.clone(), version.clone()),
            At::Beginning | At::End => (String::new(), String::new()),
        };
        let from = match only.filter(|only| after.0.as_str() < *only) {
            Some(only) => (namespace.clone(), only.to_owned(), String::new()),
            None => (namespace.clone(), after.0.clone(), after.1.clone()),
        };
        let is_meant = move |service: &Service| only.is_none_or(|only| only == service.name);
        let is_later = move |service: &Service| {
            (service.name.as_str(), service.version.as_str()) > (after.0.as_str(), after.1.as_str())
        };
        let is_later_too = is_later.clone();
        let own = self
            .now
            .range(from..)
            .take_while(move |((space, ..), service)| space == namespace && is_meant(service));
        let own = own.map(|(_, service)| service).filter(move |service| is_later(service));
        let platform = self.platform.iter().filter(move |service| {
            is_meant(service) && is_later_too(service) && !has(&self.now, namespace, &service.name)
        });
        merged(own, platform)
    }
}

type Difference<'a> = (&'a Key, Action, &'a Arc<Service>);

/// What became of one map on the way to another: first what is gone.
fn differences<'a>(
    before: &'a BTreeMap<Key, Arc<Service>>,
    next: &'a BTreeMap<Key, Arc<Service>>,
) -> Vec<Difference<'a>> {
    let gone = before.iter().filter(|(key, _)| !next.contains_key(*key));
    let gone = gone.map(|(key, service)| (key, Action::Delete, service));
    let there = next.iter().filter_map(|(key, service)| match before.get(key) {
        None => Some((key, Action::Create, service)),
        Some(known) if !Arc::ptr_eq(known, service) && known != service => {
            Some((key, Action::Update, service))
        }
        Some(_) => None,
    });
    gone.chain(there).collect()
}

/// Whether a namespace has a service of that name itself.
fn has(all: &BTreeMap<Key, Arc<Service>>, namespace: &Namespace, name: &str) -> bool {
    let from = (namespace.clone(), name.to_owned(), String::new());
    all.range(from..).next().is_some_and(|((space, found, _), _)| space == namespace && found == name)
}

/// Two ordered runs as one. No name is in both.
fn merged<'a>(
    own: impl Iterator<Item = &'a Arc<Service>>,
    platform: impl Iterator<Item = &'a Arc<Service>>,
) -> impl Iterator<Item = &'a Arc<Service>> {
    let (mut own, mut platform) = (own.peekable(), platform.peekable());
    std::iter::from_fn(move || match (own.peek(), platform.peek()) {
        (Some(a), Some(b)) if b.name < a.name => platform.next(),
        (Some(_), _) => own.next(),
        (None, _) => platform.next(),
    })
}

/// The bytes of a service, about.
fn size(service: &Service) -> usize {
    fn text<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
        pairs.into_iter().map(|(name, value)| name.len() + value.len() + 64).sum()
    }
    fn value(of: &Value) -> usize {
        of.name.len() + of.r#type.len() + 72 + of.values.iter().map(value).sum::<usize>()
    }
    let endpoint =
        |of: &Endpoint| of.name.len() + value(&of.request) + value(&of.response) + text(&of.metadata);
    let nodes = service.nodes.iter().map(|node| node.id.len() + node.address.len() + text(&node.metadata));
    let endpoints = service.endpoints.iter().map(endpoint);
    256 + service.name.len()
        + service.version.len()
        + text(&service.metadata)
        + nodes.sum::<usize>()
        + endpoints.sum::<usize>()
}
