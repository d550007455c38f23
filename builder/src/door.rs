//! The one way out of a fetch: a proxy outside the sandbox, reached by a socket that is mounted into it.
//!
//! It connects only to names on its list, looks at the address that a name has at that moment, and counts bytes. What
//! it refuses it remembers, so that the error can say why a fetch failed.

pub(crate) mod address;
mod request;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use address::Policy;
use request::{Head, Target};

/// The socket's name in its folder.
pub(crate) const SOCKET: &str = "door";
/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// Refusals remembered.
const REFUSALS_MAX: usize = 16;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 32 * 1024;

/// How far a name is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// A tenant named it: its addresses must be public, or opened by the operator.
    Source,
    /// The operator named it: it may resolve to anything.
    Operator,
}

/// A host and port that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Lower case, an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The rules of one door.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) places: BTreeMap<Place, Trust>,
    pub(crate) policy: Policy,
    /// Bytes in both directions together.
    pub(crate) bytes_max: u64,
    /// The operator's own proxy, `host:port`.
    pub(crate) upstream: Option<Upstream>,
}

/// A proxy that this machine needs to reach the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) place: Place,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

/// An open door. Closes when dropped.
#[derive(Debug)]
pub(crate) struct Door {
    shared: Arc<Shared>,
    folder: PathBuf,
    accept: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Rules>,
    bytes: AtomicU64,
    refusals: Mutex<Vec<String>>,
    connections: Arc<Semaphore>,
}

impl Door {
    /// Opens a door in `folder`, which exists and is entered by the sandbox only.
    pub(crate) fn open(folder: &Path, rules: Rules) -> std::io::Result<Self> {
        // A socket's path has 108 bytes at most: a data folder may lie deeper.
        let handle = std::fs::File::open(folder)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
        let listener = UnixListener::bind(&path)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(folder.join(SOCKET), mode)?;
        let shared = Arc::new(Shared {
            rules: Mutex::new(rules),
            bytes: AtomicU64::new(0),
            refusals: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        let accept = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, folder: folder.to_owned(), accept })
    }

    /// The folder to mount.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets one more place be reached.
    pub(crate) fn allow(&self, place: Place, trust: Trust) {
        let mut rules = self.shared.rules.lock();
        let known = rules.places.entry(place).or_insert(trust);
        *known = (*known).max(trust);
    }

    /// What was refused so far, each once.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.shared.refusals.lock().clone()
    }

    /// More was transferred than allowed.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.shared.bytes.load(Ordering::Relaxed) > self.shared.rules.lock().bytes_max
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accept.abort();
        let _ = std::fs::remove_file(self.folder.join(SOCKET));
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    // Ends all connections when the door is dropped.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&shared.connections).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            if let Err(error) = serve(stream, &shared).await {
                tracing::debug!(%error, "A connection through the door ended");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection: read what it wants, judge, connect, copy.
async fn serve(mut inside: UnixStream, shared: &Shared) -> std::io::Result<()> {
    let head = tokio::time::timeout(HEAD_TIMEOUT, Head::read(&mut inside))
        .await
        .map_err(std::io::Error::other)??;
    let Some(head) = head else { return Ok(()) };
    let target = match head.target() {
        Ok(target) => target,
        Err(problem) => return refuse(&mut inside, shared, 400, problem.to_owned()).await,
    };
    let mut outside = match connect(&target.place, shared).await {
        Ok(outside) => outside,
        Err(Refusal::Forbidden(text)) => return refuse(&mut inside, shared, 403, text).await,
        Err(Refusal::Unreachable(text)) => return refuse(&mut inside, shared, 502, text).await,
    };
    match target {
        Target { tunnel: true, .. } => {
            inside.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?
        }
        Target { ref forward, .. } => outside.write_all(forward).await?,
    }
    outside.write_all(head.rest()).await?;
    count(shared, head.rest().len())?;
    copy_both(inside, outside, shared).await
}

async fn refuse(inside: &mut UnixStream, shared: &Shared, status: u16, text: String) -> std::io::Result<()> {
    let answer = format!("HTTP/1.1 {status} {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    {
        let mut refusals = shared.refusals.lock();
        if refusals.len() < REFUSALS_MAX && !refusals.contains(&text) {
            refusals.push(text);
        }
    }
    inside.write_all(answer.as_bytes()).await
}

enum Refusal {
    Forbidden(String),
    Unreachable(String),
}

async fn connect(place: &Place, shared: &Shared) -> Result<TcpStream, Refusal> {
    let (trust, policy, upstream) = {
        let rules = shared.rules.lock();
        (rules.places.get(place).copied(), rules.policy.clone(), rules.upstream.clone())
    };
    let Place { host, port } = place;
    let Some(trust) = trust else {
        return Err(Refusal::Forbidden(format!("{host}:{port} is neither the source's host nor a registry")));
    };
    let found =
        tokio::net::lookup_host((host.as_str(), *port)).await.map(Iterator::collect::<Vec<SocketAddr>>);
    let addresses = match (found, &upstream) {
        (Ok(addresses), _) => addresses,
        // Behind a proxy, names may be its business alone.
        (Err(_), Some(upstream)) if host.parse::<std::net::IpAddr>().is_err() => {
            return through(upstream, place).await;
        }
        (Err(_), _) => return Err(Refusal::Unreachable(format!("no such host: {host}"))),
    };
    let mut last = None;
    for address in &addresses {
        if trust == Trust::Source && !policy.permits(host, address.ip()) {
            last = Some(Refusal::Forbidden(format!("{host} is the private address {}", address.ip())));
            continue;
        }
        let local = address.ip().is_loopback();
        if let Some(upstream) = upstream.as_ref().filter(|_| !local) {
            return through(upstream, place).await;
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(Refusal::Unreachable(format!("{host}:{port}: {error}"))),
            Err(_) => last = Some(Refusal::Unreachable(format!("{host}:{port} does not answer"))),
        }
    }
    Err(last.unwrap_or_else(|| Refusal::Unreachable(format!("no such host: {host}"))))
}

/// Asks the operator's proxy for a tunnel.
async fn through(upstream: &Upstream, place: &Place) -> Result<TcpStream, Refusal> {
    let unreachable = |error: std::io::Error| Refusal::Unreachable(format!("the operator's proxy: {error}"));
    let host = &upstream.place.host;
    let tunnel = async {
        let mut stream = TcpStream::connect((host.as_str(), upstream.place.port)).await?;
        let name = if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
        let mut ask = format!("CONNECT {name}:{0} HTTP/1.1\r\nHost: {name}:{0}\r\n", place.port);
        if let Some(value) = &upstream.authorization {
            ask.push_str(&format!("Proxy-Authorization: {value}\r\n"));
        }
        ask.push_str("\r\n");
        stream.write_all(ask.as_bytes()).await?;
        let status = request::read_status(&mut stream).await?;
        if status == 200 { Ok(stream) } else { Err(std::io::Error::other(format!("status {status}"))) }
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, tunnel).await {
        Ok(result) => result.map_err(unreachable),
        Err(_) => Err(unreachable(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn copy_both(inside: UnixStream, outside: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (mut inside_read, mut inside_write) = inside.into_split();
    let (mut outside_read, mut outside_write) = outside.into_split();
    let up = copy(&mut inside_read, &mut outside_write, shared);
    let down = copy(&mut outside_read, &mut inside_write, shared);
    tokio::try_join!(up, down).map(|_| ())
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::time::timeout(IDLE_TIMEOUT, from.read(&mut chunk))
            .await
            .map_err(std::io::Error::other)??;
        if read == 0 {
            return to.shutdown().await;
        }
        count(shared, read)?;
        to.write_all(chunk.get(..read).unwrap_or_default()).await?;
    }
}

fn count(shared: &Shared, bytes: usize) -> std::io::Result<()> {
    let bytes = bytes as u64;
    let total = shared.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if total > shared.rules.lock().bytes_max {
        return Err(std::io::Error::other("too many bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
