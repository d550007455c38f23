//! Services that run elsewhere, kept in Redis: nodes that name the same server and prefix share them.
//!
//! Every change is one script and one round trip, and the time that ends a registration is the server's. Each change of a
//! namespace has a number, which grows over all of them. Whoever follows keeps what it read, and asks which namespaces
//! have a greater number than the last that it saw: so a cut connection loses nothing, however much changed meanwhile.
//! What a script publishes only wakes. When a connection that listens was made anew, all is read once more, for the server
//! may have been another, with less.

mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use micro_api::name::Namespace;
use micro_api::registry::{Endpoint, Service};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use crate::redis::{Call, Failure, Heard, Hearing, Redis as Server, RedisConfig, Script};
use state::State;

const ID: &str = "go.micro.registry";
const COMMON: &str = include_str!("elsewhere/common.lua");
/// Where the memory is full, nodes can be taken away all the same: that needs none.
const FREES_FLAGS: &str = "#!lua flags=allow-oom\n";
/// Namespaces that are asked for at once.
const PAGE: usize = 1_000;
/// Namespaces in all: more than a platform would ever have.
const SPACES_MAX: usize = 1_000_000;
/// A namespace without nodes is forgotten so long after its last change.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Where they are kept, and how many a namespace may have.
#[derive(Debug, Clone)]
pub struct ElsewhereConfig {
    /// The server.
    pub server: RedisConfig,
    /// Nodes of one namespace.
    pub nodes_max: i64,
}

impl ElsewhereConfig {
    /// The defaults of [`RedisConfig`].
    pub fn new(url: impl Into<String>, nodes_max: i64) -> Self {
        Self { server: RedisConfig::new(url), nodes_max }
    }
}

/// Why a registration was not made, or nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElsewhereError {
    /// The namespace has too many.
    #[error("limit: nodes of services elsewhere: there may be {0}: remove one first")]
    TooMany(i64),
    /// All connections are in use.
    #[error("too many calls at once: try again")]
    Busy,
    /// The server has no memory left; nodes can be deregistered.
    #[error("the memory of the registry's server is full")]
    Memory,
    /// The server does not answer; the text is for the operator.
    #[error("the registry's server: {0}")]
    Away(String),
    /// A bug or a broken server; the text is for the operator.
    #[error("the registry's server failed: {0}")]
    Backend(String),
}

impl From<Failure> for ElsewhereError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(reason) | Failure::Unknown(reason) => Self::Away(reason),
            Failure::Busy => Self::Busy,
            Failure::Full => Self::Memory,
            Failure::Wrong(reason) => Self::Backend(reason),
        }
    }
}

impl From<ElsewhereError> for micro_api::Error {
    fn from(error: ElsewhereError) -> Self {
        use ElsewhereError as E;
        match error {
            E::TooMany(_) => Self::forbidden(ID, error.to_string()),
            E::Busy => Self::new(ID, 503, error.to_string()),
            E::Memory => Self::new(ID, 507, error.to_string()),
            E::Away(_) => {
                tracing::warn!(%error, "registry call failed");
                Self::new(ID, 503, "the registry does not answer: try again")
            }
            E::Backend(_) => {
                tracing::error!(%error, "registry call failed");
                Self::internal(ID, "the registry failed; its operator finds the reason in the server's log")
            }
        }
    }
}

/// One version of a service that runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub namespace: Namespace,
    /// Its record, with at least one node.
    pub service: Service,
    /// How long until the first of its nodes ends; none: never.
    pub left: Option<Duration>,
}

/// All that is registered, as of a revision of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct All {
    /// For asking whether there is more.
    pub revision: u64,
    /// In the order of their keys.
    pub found: Vec<Found>,
}

/// A node as the server tells it: its place, its value, the milliseconds that it has left.
type Row = (String, String, i64);

/// What the nodes of a version share.
#[derive(Debug, Serialize, Deserialize)]
struct Shared {
    metadata: BTreeMap<String, String>,
    endpoints: Vec<Endpoint>,
}

/// What a node has of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Own {
    address: String,
    metadata: BTreeMap<String, String>,
}

/// The services elsewhere of all nodes.
#[derive(Debug)]
pub struct Elsewhere {
    server: Arc<Server>,
    channel: String,
    nodes_max: i64,
    register: Script,
    deregister: Script,
    list: Script,
    sweep: Script,
    /// What was read last.
    state: Mutex<State>,
    bell: Arc<Bell>,
    _hearing: Hearing,
}

#[derive(Debug, Default)]
struct Bell {
    rung: Notify,
    /// How often the connection that listens was made anew.
    anew: AtomicU64,
}

impl Elsewhere {
    /// Connects, reads what the server's settings are worth, and begins to listen for changes.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is a replica or part of a cluster, or would throw registrations away
    /// when its memory is full.
    pub async fn open(config: &ElsewhereConfig) -> Result<Arc<Self>, ElsewhereError> {
        let server = Server::open(&config.server).await?;
        let channel = format!("{}:registry:changes", server.prefix());
        let bell = Arc::<Bell>::default();
        let ringer = Arc::clone(&bell);
        let hearing = server.hear(channel.clone(), move |heard| {
            if matches!(heard, Heard::Begins) {
                ringer.anew.fetch_add(1, Ordering::SeqCst);
            }
            ringer.rung.notify_one();
        });
        Ok(Arc::new(Self {
            server,
            channel,
            nodes_max: config.nodes_max,
            register: Script::new(&[COMMON, include_str!("elsewhere/register.lua")]),
            deregister: Script::new(&[FREES_FLAGS, COMMON, include_str!("elsewhere/deregister.lua")]),
            list: Script::new(&[COMMON, include_str!("elsewhere/list.lua")]),
            sweep: Script::new(&[FREES_FLAGS, COMMON, include_str!("elsewhere/sweep.lua")]),
            state: Mutex::default(),
            bell,
            _hearing: hearing,
        }))
    }

    /// Writes the nodes of `service` over what they were; other nodes of the version stay, with its new metadata and
    /// endpoints. They end after `ttl`; none: never.
    ///
    /// # Errors
    /// [`ElsewhereError::TooMany`], and when the server fails.
    pub async fn register(
        &self,
        namespace: &Namespace,
        service: &Service,
        ttl: Option<Duration>,
    ) -> Result<(), ElsewhereError> {
        let shared = Shared { metadata: service.metadata.clone(), endpoints: service.endpoints.clone() };
        let ttl = ttl.map(|ttl| ttl.as_millis().to_string()).unwrap_or_default();
        let call = self.call(&self.register, namespace).arg(version_key(&service.name, &service.version));
        let mut call = call.arg(encode(&shared)?).arg(ttl).arg(self.nodes_max);
        for node in &service.nodes {
            let own = Own { address: node.address.clone(), metadata: node.metadata.clone() };
            call = call.arg(&node.id).arg(encode(&own)?);
        }
        match self.server.retried::<i64>(&call).await? {
            0 => Err(ElsewhereError::TooMany(self.nodes_max)),
            _ => Ok(()),
        }
    }

    /// Removes the named nodes of a version, or all of them when none is named; how many there were. One that is tried
    /// again, because its connection broke, may find that it was done before: the answer is 0 then.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn deregister(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
        nodes: &[String],
    ) -> Result<u64, ElsewhereError> {
        let mut call = self.call(&self.deregister, namespace).arg(version_key(service, version));
        for node in nodes {
            call = call.arg(node);
        }
        Ok(self.server.retried::<u64>(&call).await?)
    }

    /// All that is registered now, unless it is what it was at revision `seen`.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn since(&self, seen: Option<u64>) -> Result<Option<All>, ElsewhereError> {
        let mut state = self.state.lock().await;
        let anew = self.bell.anew.load(Ordering::SeqCst);
        let is_anew = anew != state.anew;
        self.refresh(&mut state, is_anew).await?;
        // Only now: what failed, or whose caller left meanwhile, is still to be read anew.
        state.anew = anew;
        Ok((seen != Some(state.revision())).then(|| state.all()))
    }

    /// Waits until something may have changed.
    pub async fn rung(&self) {
        self.bell.rung.notified().await;
    }

    /// Removes what has ended.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn sweep(&self) -> Result<(), ElsewhereError> {
        for (namespace, _) in self.changed_after(None).await? {
            let call =
                self.call(&self.sweep, &namespace).arg(u64::try_from(KEPT.as_micros()).unwrap_or(u64::MAX));
            self.server.retried::<i64>(&call).await?;
        }
        Ok(())
    }

    /// Whether the server answers now.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), ElsewhereError> {
        Ok(self.server.check().await?)
    }

    /// Reads what changed or ended since it was read last.
    async fn refresh(&self, state: &mut State, anew: bool) -> Result<(), ElsewhereError> {
        let mut newest = ::redis::cmd("ZREVRANGE");
        newest.arg(self.spaces()).arg(0).arg(0).arg("WITHSCORES");
        let newest: Vec<(String, f64)> = self.server.retried(&Call::plain(newest)).await?;
        let newest = newest.first().map_or(0.0, |(_, number)| *number);
        // A number that goes back is of another server, or of this one after it lost something.
        let whole = anew || newest < state.seen;
        let mut wanted = state.ended();
        if whole || newest > state.seen {
            let changed = self.changed_after((!whole).then_some(state.seen)).await?;
            if whole {
                let there: BTreeSet<_> = changed.iter().map(|(namespace, _)| namespace.clone()).collect();
                state.keep(|known| there.contains(known));
            }
            for (namespace, number) in changed {
                self.read(state, &namespace).await?;
                // Where it ends here, the next time goes on behind this one.
                if !whole {
                    state.seen = number;
                }
                wanted.retain(|other| *other != namespace);
            }
            if whole {
                state.seen = newest;
            }
        }
        for namespace in wanted {
            self.read(state, &namespace).await?;
        }
        Ok(())
    }

    async fn read(&self, state: &mut State, namespace: &Namespace) -> Result<(), ElsewhereError> {
        let call = self.call(&self.list, namespace);
        let (nodes, shared): (Vec<Row>, BTreeMap<String, String>) = self.server.retried(&call).await?;
        state.read(namespace, nodes, &shared)
    }

    /// Namespaces with a number above `after`, by their numbers.
    async fn changed_after(&self, after: Option<f64>) -> Result<Vec<(Namespace, f64)>, ElsewhereError> {
        let mut found = Vec::new();
        let mut place = after.map_or_else(|| "-inf".to_owned(), |after| format!("({after:.0}"));
        while found.len() < SPACES_MAX {
            let mut page = ::redis::cmd("ZRANGEBYSCORE");
            page.arg(self.spaces()).arg(&place).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(PAGE);
            let page: Vec<(String, f64)> = self.server.retried(&Call::plain(page)).await?;
            let Some((_, last)) = page.last() else { break };
            place = format!("({last:.0}");
            let is_last = page.len() < PAGE;
            found.extend(page.into_iter().filter_map(|(name, number)| Some((name.parse().ok()?, number))));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    fn spaces(&self) -> String {
        format!("{}:registry:spaces", self.server.prefix())
    }

    /// A script on a namespace; its own arguments come after. What is the namespace's shares one hash tag.
    fn call<'a>(&self, script: &'a Script, namespace: &Namespace) -> Call<'a> {
        let own = |what| format!("{}:registry:{{{namespace}}}:{what}", self.server.prefix());
        let keys = [own("nodes"), own("ends"), own("shared"), self.spaces()];
        Call::script(script, &keys).arg(namespace.as_str()).arg(&self.channel)
    }
}

/// A version among those of its namespace. Neither a service nor a version has control characters, so a line break keeps
/// them apart, and from a node's id behind them.
fn version_key(service: &str, version: &str) -> String {
    format!("{service}\n{version}")
}

fn encode(value: &impl Serialize) -> Result<String, ElsewhereError> {
    serde_json::to_string(value).map_err(|error| ElsewhereError::Backend(error.to_string()))
}
