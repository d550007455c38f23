//! Services that run elsewhere: found and called like those of this process.
//!
//! A call is one HTTP/1.1 POST of the message to `/<Service>/<Method>` with the content type of its codec, as a unary call
//! of the Connect protocol is. 200 carries the reply; anything else an error, Micro's object or Connect's. Each node has a
//! breaker; of those it lets through, two are drawn at random and the one with fewer calls is taken.

mod breaker;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use micro_api::registry::{Address, Endpoint, Service};
use micro_api::{Error, Namespace, ServiceKey, ServiceName};
use micro_capability::Tally;
use micro_capability::http::{Egress, Post, PostError};
use micro_runtime::Context;

use self::breaker::Breaker;
use crate::dispatch::Message;

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
    egress: Arc<Egress>,
    tally: Arc<Tally>,
}

struct Node {
    id: String,
    address: Address,
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
            Some(Node {
                id: node.id.clone(),
                address,
                in_flight: AtomicUsize::new(0),
                breaker: Breaker::default(),
            })
        });
        Self {
            key: ServiceKey { namespace: namespace.clone(), name },
            nodes: nodes.collect(),
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
    ) -> Result<Message, Error> {
        let mut unreached = None;
        for _ in 0..TRIES.min(self.nodes.len()) {
            let Some(node) = self.choose(unreached) else { break };
            match self.ask(node, endpoint, message.clone(), context).await {
                Err(PostError::Unreached) => unreached = Some(node),
                Ok(answer) => return answer,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        match unreached {
            Some(_) => Err(self.failed(&PostError::Unreached)),
            None => Err(Error::new(
                self.id(),
                503,
                format!("none available: every node of {} failed just now: try again in a moment", self.id()),
            )),
        }
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
        let now = Instant::now();
        match &posted {
            // What it answered tells whether it works; what we would not send does not.
            Ok(posted) => node.breaker.told(!matches!(posted.status.as_u16(), 502..=504), now),
            Err(PostError::Unreached | PostError::Broken | PostError::Timeout) => {
                node.breaker.told(false, now);
                tracing::debug!(service = %self.key, node = node.id, "A node elsewhere failed");
            }
            Err(_) => {}
        }
        Ok(wire::reply(&self.id(), codec, posted?))
    }

    /// A node that is due for its trial, or of two drawn at random the one with fewer calls; never `but`.
    fn choose(&self, but: Option<&Node>) -> Option<&Node> {
        let now = Instant::now();
        let other = |node: &&Node| but.is_none_or(|but| !std::ptr::eq(*node, but));
        if let Some(due) = self.nodes.iter().filter(other).find(|node| node.breaker.try_again(now)) {
            return Some(due);
        }
        let free: Vec<&Node> =
            self.nodes.iter().filter(other).filter(|node| node.breaker.is_closed()).collect();
        let first = free.get(rand::random_range(0..free.len().max(1)))?;
        let second = free.get(rand::random_range(0..free.len()))?;
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
