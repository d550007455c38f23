//! Outbound calls against a resolver and a connector that note what reaches them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use micro_api::manifest::{Grants, Manifest};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks as _};

use super::*;
use crate::tests::{World, context, scope};
use crate::{Ctx, Guest};

/// The outside world: names with addresses, and a server that answers every connection in one way.
#[derive(Default)]
struct Outside {
    names: HashMap<&'static str, Vec<IpAddr>>,
    resolved: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
    requests: Arc<Mutex<Vec<String>>>,
    answer: &'static str,
    /// Keeps connections open after the answer.
    keep: bool,
}

#[async_trait]
impl Resolver for Outside {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.resolved.lock().push(host.to_owned());
        self.names.get(host).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[async_trait]
impl Connector for Outside {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Io>> {
        self.connected.lock().push(address);
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(serve(theirs, Arc::clone(&self.requests), self.answer, self.keep));
        Ok(Box::new(ours))
    }
}

async fn serve(
    mut stream: DuplexStream,
    requests: Arc<Mutex<Vec<String>>>,
    answer: &'static str,
    keep: bool,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    requests.lock().push(String::from_utf8(request).unwrap());
    stream.write_all(answer.as_bytes()).await.unwrap();
    if keep {
        // Until the other side goes away.
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

struct Setup {
    outside: Arc<Outside>,
    world: World,
    ctx: Ctx,
}

fn set_up(outside: Outside, config: EgressConfig, granted: &[&str]) -> Setup {
    let outside = Arc::new(outside);
    let egress = Egress::with(config, Arc::clone(&outside) as _, Arc::clone(&outside) as _).unwrap();
    let world = World::with(egress);
    let http = granted.iter().map(|host| (*host).to_owned()).collect();
    let mut ctx = Ctx::new(world.guest(Grants { http, ..Grants::default() }));
    ctx.begin(context(Duration::from_secs(2)));
    Setup { outside, world, ctx }
}

fn outside(answer: &'static str) -> Outside {
    let names = HashMap::from([
        ("public.test", vec!["93.184.216.34".parse().unwrap()]),
        ("private.test", vec!["10.0.0.7".parse().unwrap()]),
        ("mapped.test", vec!["::ffff:169.254.169.254".parse().unwrap()]),
        ("loopback.test", vec!["127.0.0.1".parse().unwrap()]),
        ("mixed.test", vec!["192.168.0.1".parse().unwrap(), "93.184.216.34".parse().unwrap()]),
    ]);
    Outside { names, answer, ..Outside::default() }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi";

fn get(uri: &str) -> Request<WasiBody> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    Request::builder().method(Method::GET).uri(uri).body(body).unwrap()
}

async fn send(ctx: &mut Ctx, request: Request<WasiBody>) -> Result<http::Response<WasiBody>, Error> {
    send_with(ctx, request, None).await
}

async fn send_with(
    ctx: &mut Ctx,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<http::Response<WasiBody>, Error> {
    let sent = ctx.send_request(request, options, Box::new(std::future::ready(Ok(()))));
    Box::into_pin(sent).await.map(|(response, _)| response)
}

#[tokio::test]
async fn a_granted_host_answers_and_sees_the_right_request() {
    let mut set = set_up(outside(OK), EgressConfig::default(), &["public.test:80", "public.test:8080"]);
    let mut request = get("http://PUBLIC.test/a//b/../c?q=1");
    request.headers_mut().insert("host", "evil.test".parse().unwrap());
    let response = send(&mut set.ctx, request).await.unwrap();
    assert_eq!(response.headers()["x-a"], "b");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hi");
    send(&mut set.ctx, get("http://public.test:8080")).await.unwrap();
    let requests = set.outside.requests.lock().clone();
    assert!(requests[0].starts_with("GET /a//b/../c?q=1 HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].contains("host: public.test\r\n"), "{}", requests[0]);
    assert!(!requests[0].contains("evil"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET / HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].contains("host: public.test:8080\r\n"), "{}", requests[1]);
    let connected = set.outside.connected.lock().clone();
    assert_eq!(connected, ["93.184.216.34:80".parse().unwrap(), "93.184.216.34:8080".parse().unwrap()]);
}

#[tokio::test]
async fn what_was_not_granted_is_denied_before_any_lookup() {
    let mut set = set_up(outside(OK), EgressConfig::default(), &["public.test"]);
    for uri in ["http://public.test/", "https://other.test/", "https://public.test:444/", "http://127.0.0.1/"]
    {
        let error = send(&mut set.ctx, get(uri)).await.err();
        assert!(matches!(error, Some(Error::HttpRequestDenied)), "{uri}: {error:?}");
    }
    let mut nothing = set_up(outside(OK), EgressConfig::default(), &[]);
    let error = send(&mut nothing.ctx, get("https://public.test/")).await.err();
    assert!(matches!(error, Some(Error::HttpRequestDenied)));
    for set in [set, nothing] {
        assert!(set.outside.resolved.lock().is_empty());
        assert!(set.outside.connected.lock().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_in_the_log_with_the_line_to_add() {
    use futures::StreamExt as _;
    let mut set = set_up(outside(OK), EgressConfig::default(), &[]);
    send(&mut set.ctx, get("http://public.test/")).await.err().unwrap();
    let tail = crate::log::Tail {
        namespace: scope().namespace,
        service: scope().service,
        version: None,
        lines: 10,
        since_ms: None,
        follow: false,
    };
    let lines: Vec<_> = set.world.capabilities.logs.tail(tail).collect().await;
    assert!(lines[0].message.contains("`http = [\"public.test:80\"]`"), "{lines:?}");
}

#[tokio::test]
async fn addresses_of_the_operators_network_get_no_packet() {
    let granted = [
        "private.test:80",
        "mapped.test:80",
        "loopback.test:80",
        "169.254.169.254:80",
        "[::1]:80",
        "10.0.0.7:80",
        "[::ffff:127.0.0.1]:80",
        "2130706433:80",
    ];
    let mut set = set_up(outside(OK), EgressConfig::default(), &granted);
    for host in granted {
        let error = send(&mut set.ctx, get(&format!("http://{host}/"))).await.err();
        assert!(
            matches!(error, Some(Error::DestinationIpProhibited | Error::DnsError { .. })),
            "{host}: {error:?}"
        );
    }
    assert!(set.outside.connected.lock().is_empty());
}

#[tokio::test]
async fn only_the_judged_address_is_connected_to() {
    let mut set = set_up(outside(OK), EgressConfig::default(), &["mixed.test:80"]);
    send(&mut set.ctx, get("http://mixed.test/")).await.unwrap();
    assert_eq!(*set.outside.connected.lock(), ["93.184.216.34:80".parse().unwrap()]);
    assert_eq!(*set.outside.resolved.lock(), ["mixed.test"], "once");
}

#[tokio::test]
async fn an_operator_may_open_loopback_but_the_grant_still_decides() {
    let config = EgressConfig { loopback: true, ..EgressConfig::default() };
    let mut set = set_up(outside(OK), config, &["loopback.test:80", "private.test:80"]);
    send(&mut set.ctx, get("http://loopback.test/")).await.unwrap();
    let error = send(&mut set.ctx, get("http://127.0.0.1/")).await.err();
    assert!(matches!(error, Some(Error::HttpRequestDenied)));
    let error = send(&mut set.ctx, get("http://private.test/")).await.err();
    assert!(matches!(error, Some(Error::DestinationIpProhibited)));
}

#[tokio::test]
async fn redirects_are_the_guests_to_follow_and_checked_again() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://private.test/\r\ncontent-length: 0\r\n\r\n";
    let mut set = set_up(outside(answer), EgressConfig::default(), &["public.test:80"]);
    let response = send(&mut set.ctx, get("http://public.test/")).await.unwrap();
    assert_eq!(response.status(), 302);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(send(&mut set.ctx, get(&location)).await.is_err());
    assert_eq!(set.outside.connected.lock().len(), 1);
}

#[tokio::test]
async fn odd_requests_are_refused() {
    let mut set = set_up(outside(OK), EgressConfig::default(), &["public.test:80"]);
    for uri in ["http://user@public.test/", "ftp://public.test/", "/relative"] {
        assert!(send(&mut set.ctx, get(uri)).await.is_err(), "{uri}");
    }
    let mut connect = get("http://public.test/");
    *connect.method_mut() = Method::CONNECT;
    assert!(send(&mut set.ctx, connect).await.is_err());
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let mut set = set_up(outside(upgrade), EgressConfig::default(), &["public.test:80"]);
    assert!(send(&mut set.ctx, get("http://public.test/")).await.is_err());
    assert!(!set.outside.connected.lock().is_empty());
}

#[tokio::test]
async fn calls_at_once_are_bounded_until_their_bodies_end() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    let mut outside = outside(endless);
    outside.keep = true;
    let outside = Arc::new(outside);
    let config = EgressConfig { calls_per_service_max: 3, ..EgressConfig::default() };
    let egress = Egress::with(config, Arc::clone(&outside) as _, Arc::clone(&outside) as _).unwrap();
    let world = World::with(egress);
    let mut manifest = Manifest::default();
    manifest.grants.http = vec!["public.test:80".to_owned()];
    manifest.limits.outbound = Some(2);
    let guest = Guest::configure(scope(), &manifest, Arc::clone(&world.capabilities)).unwrap();
    let mut instances = [Ctx::new(Arc::clone(&guest)), Ctx::new(guest)];
    for ctx in &mut instances {
        ctx.begin(context(Duration::from_secs(5)));
    }
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(send(&mut instances[0], get("http://public.test/")).await.unwrap());
    }
    let limited = |answer: Result<_, Error>| matches!(answer, Err(Error::ConnectionLimitReached));
    assert!(limited(send(&mut instances[0], get("http://public.test/")).await.map(drop)), "instance");
    open.push(send(&mut instances[1], get("http://public.test/")).await.unwrap());
    assert!(limited(send(&mut instances[1], get("http://public.test/")).await.map(drop)), "service");
    open.remove(0);
    assert!(
        send(&mut instances[1], get("http://public.test/")).await.is_ok(),
        "a body that ends gives its place"
    );
}

#[tokio::test]
async fn nothing_waits_longer_than_allowed() {
    let mut silent = outside("");
    silent.keep = true;
    let mut set = set_up(silent, EgressConfig::default(), &["public.test:80"]);
    let options =
        RequestOptions { first_byte_timeout: Some(Duration::from_millis(20)), ..Default::default() };
    let error = send_with(
        &mut set.ctx,
        get("http://public.test/"),
        Some(RequestOptions { connect_timeout: Some(Duration::from_millis(20)), ..options }),
    );
    assert!(matches!(error.await.err(), Some(Error::HttpResponseTimeout)));

    let mut stalls = outside("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx");
    stalls.keep = true;
    let config = EgressConfig { idle_timeout: Duration::from_millis(50), ..EgressConfig::default() };
    let mut set = set_up(stalls, config, &["public.test:80"]);
    let response = send(&mut set.ctx, get("http://public.test/")).await.unwrap();
    assert!(matches!(response.into_body().collect().await.err(), Some(Error::ConnectionReadTimeout)));
}

#[tokio::test]
async fn bytes_count_in_both_directions_until_the_months_are_used() {
    use futures::StreamExt as _;
    let mut set = set_up(outside(OK), EgressConfig::default(), &["public.test:80"]);
    let (tallies, namespace) = (Arc::clone(&set.world.capabilities.tallies), scope().namespace);
    let egress = || tallies.of(&namespace, &scope().service).sums().egress_bytes;
    let response = send(&mut set.ctx, get("http://public.test/")).await.unwrap();
    response.into_body().collect().await.unwrap();
    let request = set.outside.requests.lock().first().unwrap().len();
    assert_eq!(egress(), (request + OK.len()) as u64);

    tallies.close_egress(&namespace, true);
    let error = send(&mut set.ctx, get("http://public.test/")).await.err();
    assert!(matches!(error, Some(Error::HttpRequestDenied)), "{error:?}");
    assert_eq!((set.outside.connected.lock().len(), egress()), (1, (request + OK.len()) as u64));
    let tail = crate::log::Tail {
        namespace: namespace.clone(),
        service: scope().service,
        version: None,
        lines: 10,
        since_ms: None,
        follow: false,
    };
    let lines: Vec<_> = set.world.capabilities.logs.tail(tail).collect().await;
    assert!(lines.iter().any(|line| line.message.starts_with("limit: egress_bytes")), "{lines:?}");
    tallies.close_egress(&namespace, false);
    send(&mut set.ctx, get("http://public.test/")).await.unwrap();
}

/// Answers with a body that never ends.
struct Endless;

#[async_trait]
impl Connector for Endless {
    async fn connect(&self, _: SocketAddr) -> io::Result<Box<dyn Io>> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        tokio::spawn(async move {
            assert!(theirs.read(&mut [0; 4096]).await.unwrap() > 0);
            let mut answer = &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..];
            while theirs.write_all(answer).await.is_ok() {
                answer = b"1\r\nx\r\n";
            }
        });
        Ok(Box::new(ours))
    }
}

#[tokio::test]
async fn a_transfer_breaks_off_where_the_months_bytes_end() {
    let resolver = Arc::new(outside(OK));
    let world = World::with(Egress::with(EgressConfig::default(), resolver, Arc::new(Endless)).unwrap());
    let http = vec!["public.test:80".to_owned()];
    let mut ctx = Ctx::new(world.guest(Grants { http, ..Grants::default() }));
    ctx.begin(context(Duration::from_secs(2)));
    let mut body = send(&mut ctx, get("http://public.test/")).await.unwrap().into_body();
    for _ in 0..100 {
        body.frame().await.unwrap().unwrap();
    }
    world.capabilities.tallies.close_egress(&scope().namespace, true);
    assert!(body.collect().await.is_err());
}
