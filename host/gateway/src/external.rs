//! Services that run elsewhere: found and called like those of this process.
//!
//! A call is one HTTP/1.1 POST of the message to `/<Service>/<Method>` with the content type of its codec, as a unary call
//! of the Connect protocol is. 200 carries the reply; anything else an error, Micro's object or Connect's. Each node has a
//! breaker; of those it lets through, two are drawn at random and the one with fewer calls is taken, or the next one,
//! as the caller chose. `stream.rs` does the same for calls that stream.

mod breaker;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use micro_api::registry::{Address, Endpoint, Service};
use micro_api::{Error, Namespace, ServiceKey, ServiceName};
use micro_capability::Tally;
use micro_capability::client::Selector;
use micro_capability::http::{Egress, Post, PostError};
use micro_runtime::Context;

use self::breaker::Breaker;
use crate::dispatch::{Choice, Message};

/// Longest reply, bytes: what a message of the platform may be.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// Nodes that one call tries, when those before could not be reached.
const TRIES: usize = 3;

/// One version of a service that runs elsewhere.
pub struct External {
    /// As it was registered.
    pub service: Service,
    key: ServiceKey,
    nodes: Vec<Node>,
    /// Whose turn it is, for those who take one after the other.
    next: AtomicUsize,
    egress: Arc<Egress>,
    tally: Arc<Tally>,
}

struct Node {
    id: String,
    address: Address,
    /// As the registry shows it.
    metadata: BTreeMap<String, String>,
    in_flight: AtomicUsize,
    breaker: Breaker,
}

impl std::fmt::Debug for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "External({} {})", self.key, self.service.version)
    }
}

impl External {
    /// A service of `namespace`, called by `egress` and counted by `tally`. Nodes whose address is malformed are left
    /// out.
    pub fn new(
        namespace: &Namespace,
        name: ServiceName,
        service: Service,
        egress: Arc<Egress>,
        tally: Arc<Tally>,
    ) -> Self {
        let nodes = service.nodes.iter().filter_map(|node| {
            let address = node.address.parse().ok()?;
            let mut metadata = node.metadata.clone();
            metadata.insert("runtime".to_owned(), "external".to_owned());
            Some(Node {
                id: node.id.clone(),
                address,
                metadata,
                in_flight: AtomicUsize::new(0),
                breaker: Breaker::default(),
            })
        });
        Self {
            key: ServiceKey { namespace: namespace.clone(), name },
            nodes: nodes.collect(),
            next: AtomicUsize::new(0),
            service,
            egress,
            tally,
        }
    }

    /// Whose and which.
    pub fn key(&self) -> &ServiceKey {
        &self.key
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.service.endpoints
    }

    /// Makes one call; a node that cannot be reached is left for another, since it never saw the message.
    pub(crate) async fn call(
        &self,
        endpoint: &str,
        message: Message,
        context: &Context,
        choice: &Choice,
    ) -> Result<Message, Error> {
        let mut unreached = None;
        for _ in 0..TRIES.min(self.nodes.len()) {
            let Some(node) = self.choose(unreached, choice) else { break };
            match self.ask(node, endpoint, message.clone(), context).await {
                Err(PostError::Unreached) => unreached = Some(node),
                Ok(answer) => return answer,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(self.none_available(unreached))
    }

    fn none_available(&self, unreached: Option<&Node>) -> Error {
        match unreached {
            Some(_) => self.failed(&PostError::Unreached),
            None => Error::new(
                self.id(),
                503,
                format!("none available: every node of {} failed just now: try again in a moment", self.id()),
            ),
        }
    }

    /// Whether one of its nodes has all `labels`.
    pub(crate) fn has_node(&self, labels: &[(String, String)]) -> bool {
        self.nodes.iter().any(|node| node.has(labels))
    }

    async fn ask(
        &self,
        node: &Node,
        endpoint: &str,
        message: Message,
        context: &Context,
    ) -> Result<Result<Message, Error>, PostError> {
        let _flight = Flight::new(&node.in_flight);
        let codec = message.codec;
        let post = Post {
            tls: node.address.tls,
            host: node.address.host.clone(),
            port: node.address.port,
            path: wire::path(endpoint),
            headers: wire::headers(&self.key.namespace, codec, context),
            body: message.bytes,
            until: context.deadline,
            answer_bytes_max: REPLY_BYTES_MAX,
        };
        let posted = self.egress.post(&self.key, &self.tally, post).await;
        node.told(&self.key, posted.as_ref().map(|posted| posted.status));
        Ok(wire::reply(&self.id(), codec, posted?))
    }

    /// A node that is due for its trial, or as the caller chose: the next one, or of two drawn at random the one with
    /// fewer calls. Never `but`, and none without the caller's labels.
    fn choose(&self, but: Option<&Node>, choice: &Choice) -> Option<&Node> {
        let now = Instant::now();
        let fits = |node: &&Node| but.is_none_or(|but| !std::ptr::eq(*node, but)) && node.has(&choice.labels);
        if let Some(due) = self.nodes.iter().filter(fits).find(|node| node.breaker.try_again(now)) {
            return Some(due);
        }
        let free: Vec<&Node> =
            self.nodes.iter().filter(fits).filter(|node| node.breaker.is_closed()).collect();
        let count = free.len().max(1);
        if choice.selector == Selector::RoundRobin {
            return free.get(self.next.fetch_add(1, Ordering::Relaxed) % count).copied();
        }
        let first = free.get(rand::random_range(0..count))?;
        let second = free.get(rand::random_range(0..count))?;
        let load = |node: &Node| node.in_flight.load(Ordering::Relaxed);
        Some(if load(second) < load(first) { second } else { first })
    }

    fn id(&self) -> String {
        self.key.name.to_string()
    }

    fn failed(&self, error: &PostError) -> Error {
        let detail = format!("{} runs elsewhere: {error}", self.id());
        match error {
            PostError::Timeout => Error::timeout(self.id(), detail),
            PostError::Quota | PostError::Prohibited => Error::forbidden(self.id(), detail),
            PostError::Busy | PostError::Unreached => Error::new(self.id(), 503, detail),
            PostError::Broken => Error::internal(self.id(), detail),
            PostError::TooLarge(_) => Error::new(self.id(), 502, detail),
        }
    }
}

impl Node {
    fn has(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|(key, value)| self.metadata.get(key) == Some(value))
    }

    /// What it answered tells whether it works; what we would not send does not.
    fn told(&self, service: &ServiceKey, answered: Result<http::StatusCode, &PostError>) {
        let now = Instant::now();
        match answered {
            Ok(status) => self.breaker.told(!matches!(status.as_u16(), 502..=504), now),
            Err(PostError::Unreached | PostError::Broken | PostError::Timeout) => {
                self.breaker.told(false, now);
                tracing::debug!(%service, node = self.id, "A node elsewhere failed");
            }
            Err(_) => {}
        }
    }
}

/// Counts a call while it is under way.
struct Flight<'a>(&'a AtomicUsize);

impl<'a> Flight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
