//! What was read of the server, and until when it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_api::name::Namespace;
use micro_api::registry::{Node, Service};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{All, ElsewhereError, Found, Own, Row, Shared};

/// One moment, read twice, is no further apart.
const APART: Duration = Duration::from_millis(500);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The greatest number of a change that was read.
    pub(super) seen: f64,
    /// How often the connection that listens had been made anew when all was read last.
    pub(super) anew: u64,
    /// Counts what became different here.
    revision: u64,
    known: BTreeMap<Namespace, Vec<Known>>,
}

/// A version.
#[derive(Debug)]
struct Known {
    service: Service,
    /// When the first of its nodes ends.
    ends: Option<Instant>,
}

impl State {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn all(&self) -> All {
        let now = Instant::now();
        let of = |(namespace, known): (&Namespace, &Known)| Found {
            namespace: namespace.clone(),
            service: known.service.clone(),
            left: known.ends.map(|ends| ends.saturating_duration_since(now)),
        };
        let each = self.known.iter().flat_map(|(namespace, all)| all.iter().map(move |one| (namespace, one)));
        All { revision: self.revision, found: each.map(of).collect() }
    }

    /// Namespaces of which a node has ended since they were read.
    pub(super) fn ended(&self) -> Vec<Namespace> {
        let now = Instant::now();
        let has = |all: &[Known]| all.iter().any(|known| known.ends.is_some_and(|ends| ends <= now));
        self.known.iter().filter(|(_, all)| has(all)).map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Forgets all namespaces but some.
    pub(super) fn keep(&mut self, is_there: impl Fn(&Namespace) -> bool) {
        let before = self.known.len();
        self.known.retain(|namespace, _| is_there(namespace));
        self.revision += u64::from(self.known.len() < before);
    }

    /// Makes what the server said all there is of a namespace. Ends move also where nothing else did.
    pub(super) fn read(
        &mut self,
        namespace: &Namespace,
        nodes: Vec<Row>,
        shared: &BTreeMap<String, String>,
    ) -> Result<(), ElsewhereError> {
        let now = Instant::now();
        let mut next: BTreeMap<String, Known> = BTreeMap::new();
        for (field, value, left_ms) in nodes {
            let mut parts = field.splitn(3, '\n');
            let (Some(name), Some(version), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(ElsewhereError::Backend(format!("`{field}` is no node")));
            };
            let key = super::version_key(name, version);
            let own: Own = decode(&value)?;
            let node = Node { id: id.to_owned(), address: own.address, metadata: own.metadata };
            let ends = u64::try_from(left_ms).ok().map(|left| now + Duration::from_millis(left));
            if let Some(known) = next.get_mut(&key) {
                known.service.nodes.push(node);
                known.ends = known.ends.into_iter().chain(ends).min();
                continue;
            }
            let all: Shared = decode(shared.get(&key).map_or("", String::as_str))?;
            let service = Service {
                name: name.to_owned(),
                version: version.to_owned(),
                metadata: all.metadata,
                endpoints: all.endpoints,
                nodes: vec![node],
            };
            next.insert(key, Known { service, ends });
        }
        let mut next: Vec<Known> = next.into_values().collect();
        next.iter_mut().for_each(|known| known.service.nodes.sort_by(|a, b| a.id.cmp(&b.id)));
        let services = |all: &[Known]| all.iter().map(|known| known.service.clone()).collect::<Vec<_>>();
        let known = self.known.get(namespace).map_or(&[][..], Vec::as_slice);
        // Who was told an end that came, or that comes earlier, has to be told the new one.
        let moved = known
            .iter()
            .zip(&next)
            .any(|(old, new)| old.ends.is_some_and(|ends| ends <= now) || is_earlier(new.ends, old.ends));
        self.revision += u64::from(moved || services(known) != services(&next));
        if next.is_empty() {
            self.known.remove(namespace);
        } else {
            self.known.insert(namespace.clone(), next);
        }
        Ok(())
    }
}

/// By more than the way to the server and back makes of one moment.
fn is_earlier(new: Option<Instant>, old: Option<Instant>) -> bool {
    match (new, old) {
        (Some(new), Some(old)) => new + APART < old,
        (new, None) => new.is_some(),
        (None, Some(_)) => false,
    }
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, ElsewhereError> {
    serde_json::from_str(text).map_err(|error| ElsewhereError::Backend(format!("a registration: {error}")))
}
