//! Sockets and connections: how many, how slow, and how they end.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Gateway;
use crate::client::Peer;
use crate::config::Config;
use crate::exchanges::{Exchanges, Verdict};

/// Wait after a failed accept, which is mostly a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at what a connection has open, at least.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(10);
/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Gateway {
    /// Serves connections until `stop`, then lets the open ones finish their requests.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let server = Arc::new(server(&self.config));
        let places = Arc::new(Places::new(&self.config));
        let tasks = TaskTracker::new();
        // What has not finished in time ends with this function.
        let over = CancellationToken::new();
        let _ends = over.clone().drop_guard();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "Accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Above the limit the connection is closed at once: no answer could be read before one is written.
            let Some(place) = places.take(peer.ip()) else {
                self.metrics.refused();
                continue;
            };
            let (gateway, server) = (Arc::clone(&self), Arc::clone(&server));
            let (stop, over) = (stop.clone(), over.clone());
            tasks.spawn(async move {
                let _place = place;
                over.run_until_cancelled(gateway.connection(&server, stream, peer.ip(), stop)).await;
            });
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(self.config.drain_time_max, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "Connections did not finish in time");
        }
    }

    async fn connection(
        self: Arc<Self>,
        server: &auto::Builder<TokioExecutor>,
        stream: TcpStream,
        peer: IpAddr,
        stop: CancellationToken,
    ) {
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(Stalling::new(stream, &self.config));
        let peer = Peer::new(peer, &self.config);
        let exchanges = Exchanges::new();
        let (idle_max, stall_max) = (self.config.connection_idle_max, self.config.body_idle_max);
        let begun = Arc::clone(&exchanges);
        let service = service_fn(move |request| {
            let (gateway, peer, exchange) = (Arc::clone(&self), peer.clone(), begun.begin());
            async move { gateway.handle(request, &peer, exchange).await }
        });
        let mut connection = std::pin::pin!(server.serve_connection(io, service));
        let mut leaving = false;
        let look_after = (idle_max.min(stall_max) / 2).max(LOOK_AFTER_MIN);
        let mut look = tokio::time::interval_at(Instant::now() + look_after, look_after);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "Connection ended");
                    }
                    return;
                }
                () = stop.cancelled(), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick() => match exchanges.verdict(idle_max, stall_max) {
                    Verdict::Alive => {}
                    Verdict::Idle if !leaving => {
                        leaving = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    // Its other requests end with it: the server cannot end one of them from here.
                    Verdict::Idle | Verdict::Stalled => {
                        tracing::debug!("Connection cut: the client neither asks nor reads");
                        return;
                    }
                },
            }
        }
    }
}

fn server(config: &Config) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_time_max)
        .max_buf_size(config.header_bytes_max)
        .max_headers(config.header_count_max)
        .half_close(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.streams_per_connection_max)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(config.body_idle_max)
        .keep_alive_timeout(config.header_time_max);
    server
}

/// Counts connections, all and by address.
#[derive(Debug)]
struct Places {
    all_max: usize,
    address_max: usize,
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

impl Places {
    fn new(config: &Config) -> Self {
        let (all_max, address_max) = (config.connections_max, config.connections_per_address_max);
        Self { all_max, address_max, taken: Mutex::default() }
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Option<TakenPlace> {
        let mut taken = self.taken.lock();
        let (all, by_address) = &mut *taken;
        let count = by_address.get(&address).copied().unwrap_or_default();
        if *all >= self.all_max || count >= self.address_max {
            return None;
        }
        *all += 1;
        by_address.insert(address, count + 1);
        Some(TakenPlace { places: Arc::clone(self), address })
    }
}

struct TakenPlace {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.0 = taken.0.saturating_sub(1);
        if let Some(count) = taken.1.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.1.remove(&self.address);
            }
        }
    }
}

/// A stream that fails when the client takes nothing for `stall_max`, since an answer must not wait for ever to be
/// read, or when it does not say in time which version of HTTP it speaks: the server's own clocks run from then on.
struct Stalling {
    stream: TcpStream,
    stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    greeting: Option<Greeting>,
}

/// The first bytes of a connection.
struct Greeting {
    seen: usize,
    due: Pin<Box<Sleep>>,
}

impl Greeting {
    /// Whether `bytes` end it: they are no HTTP/2 preface, or they complete one.
    fn ends_with(&mut self, bytes: &[u8]) -> bool {
        let rest = H2_PREFACE.get(self.seen..).unwrap_or_default();
        self.seen += bytes.len();
        bytes.len() >= rest.len() || !rest.starts_with(bytes)
    }
}

impl Stalling {
    fn new(stream: TcpStream, config: &Config) -> Self {
        let due = Box::pin(tokio::time::sleep(config.header_time_max));
        Self {
            stream,
            stall_max: config.body_idle_max,
            stalled: None,
            greeting: Some(Greeting { seen: 0, due }),
        }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_max)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Stalling {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(greeting) = &mut self.greeting else { return polled };
        if polled.is_pending() {
            return greeting.due.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        if greeting.ends_with(buffer.filled().get(before..).unwrap_or_default()) {
            self.greeting = None;
        }
        polled
    }
}

impl AsyncWrite for Stalling {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
