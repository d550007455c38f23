//! Fakes that the capabilities' tests share, and the host calls that need no component.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::Error;
use micro_api::manifest::{Grants, Manifest};
use micro_api::name::{Namespace, ServiceName};
use micro_api::registry::Service;
use parking_lot::Mutex;
use tempfile::TempDir;
use wasmtime::component::ResourceTable;

use crate::client::{CallOptions, CallOrigin, Caller, Codec, Conversation, Options, Request};
use crate::http::{Connector, Egress, EgressConfig, Io, Resolver};
use crate::log::{Logs, LogsConfig};
use crate::registry::Directory;
use crate::{Capabilities, Context, Ctx, Guest, Handle, Scope, View, streaming};

/// Notes that this test ran on a backend, for the matrix that `cargo xtask test` prints.
pub(crate) fn ran(capability: &str, backend: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("MICRO_TEST_MATRIX") else { return };
    let thread = std::thread::current();
    let line = format!("{capability}\t{backend}\t{}\n", thread.name().unwrap_or_default());
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

/// Before this nothing that ought to happen may be given up. What tests hold or lease for long outlasts it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so; `what` says what was waited for.
pub(crate) async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many records and events the suites of grown tables and topics make: `MICRO_SOAK_RECORDS`, else 10 000.
pub(crate) fn records() -> usize {
    std::env::var("MICRO_SOAK_RECORDS").map_or(10_000, |count| count.parse().unwrap())
}

pub(crate) fn scope() -> Scope {
    Scope {
        namespace: Namespace::default(),
        service: "greeter".parse().unwrap(),
        version: "latest".to_owned(),
    }
}

pub(crate) fn context(left: Duration) -> Arc<Context> {
    Arc::new(Context {
        account: None,
        metadata: vec![
            ("Trace-Me".to_owned(), "yes".to_owned()),
            ("Micro-From-Service".to_owned(), "liar".to_owned()),
        ],
        deadline: Instant::now() + left,
        traceparent: String::new(),
        request_id: "r1".to_owned(),
    })
}

/// What a store has that runs no more than capabilities.
pub(crate) struct State(pub(crate) Ctx, pub(crate) ResourceTable);

impl View for State {
    fn capability(&mut self) -> &mut Ctx {
        &mut self.0
    }

    fn with_table(&mut self) -> (&mut Ctx, &mut ResourceTable) {
        (&mut self.0, &mut self.1)
    }
}

/// A platform in memory, but for its logs.
pub(crate) struct World {
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) calls: Arc<Mutex<Vec<CallOptions>>>,
    pub(crate) _folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Egress::with(EgressConfig::default(), Arc::new(Nowhere), Arc::new(Nowhere)).unwrap())
    }

    pub(crate) fn with(egress: Arc<Egress>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let calls = Arc::default();
        let logs = Logs::open(LogsConfig::new(folder.path().to_owned())).unwrap();
        let capabilities =
            Capabilities::in_memory(logs, Arc::new(Echo { calls: Arc::clone(&calls) }), egress).unwrap();
        let capabilities = Capabilities { registry: Arc::new(OneService), ..capabilities };
        Self { capabilities: Arc::new(capabilities), calls, _folder: folder }
    }

    pub(crate) fn guest(&self, grants: Grants) -> Arc<Guest> {
        let manifest = Manifest { grants, ..Manifest::default() };
        Guest::configure(scope(), &manifest, Arc::clone(&self.capabilities)).unwrap()
    }
}

/// Resolves and connects to nothing.
pub(crate) struct Nowhere;

#[async_trait]
impl Resolver for Nowhere {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Connector for Nowhere {
    async fn connect(&self, _: SocketAddr) -> io::Result<Box<dyn Io>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// Answers with the request, or with each message of a stream; `slow` never answers, `broken` fails.
struct Echo {
    calls: Arc<Mutex<Vec<CallOptions>>>,
}

#[async_trait]
impl Caller for Echo {
    async fn call(
        &self,
        _: CallOrigin,
        service: ServiceName,
        _: String,
        _: Codec,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        if service.alias() == "slow" {
            std::future::pending::<()>().await;
        }
        self.calls.lock().push(options);
        Ok(request)
    }

    async fn open(
        &self,
        _: CallOrigin,
        service: ServiceName,
        _: String,
        _: Codec,
        request: Option<Bytes>,
        options: CallOptions,
    ) -> Result<Conversation, Error> {
        self.calls.lock().push(options);
        let (requests, mut receiver) = streaming::queue();
        let alias = service.alias().to_owned();
        let (sender, is_one) = (requests.clone(), request.is_some());
        if let Some(request) = request {
            sender.send(request).await.unwrap();
        }
        drop(sender);
        let replies = futures::stream::poll_fn(move |cx| match alias.as_str() {
            "slow" => std::task::Poll::Pending,
            "broken" => std::task::Poll::Ready(Some(Err(Error::conflict("broken", "no")))),
            _ => receiver.poll_recv(cx).map(|next| next.map(Ok)),
        });
        Ok(Conversation { requests: (!is_one).then_some(requests), replies: Box::pin(replies) })
    }
}

struct OneService;

#[async_trait]
impl Directory for OneService {
    async fn get(&self, _: &Namespace, service: &ServiceName) -> Vec<Arc<Service>> {
        let service =
            Service { name: service.to_string(), version: "latest".to_owned(), ..Service::default() };
        if service.name == "greeter" { vec![Arc::new(service)] } else { Vec::new() }
    }

    async fn list(&self, _: &Namespace) -> Vec<String> {
        vec!["greeter".to_owned()]
    }

    async fn watch(
        &self,
        _: &Namespace,
        _: Option<&micro_api::ServiceName>,
        after: Option<String>,
        _: std::time::Duration,
    ) -> micro_api::registry::Changes {
        let revision = after.unwrap_or_default();
        micro_api::registry::Changes { ready: true, revision, ..Default::default() }
    }
}

fn call(service: &str) -> Request {
    Request {
        service: service.to_owned(),
        endpoint: "Greeter.Hello".to_owned(),
        codec: Codec::Json,
        body: b"{}".to_vec(),
        options: Options {
            metadata: vec![
                ("trace-me".to_owned(), "no".to_owned()),
                ("micro-from-service".to_owned(), "x".to_owned()),
            ],
            ..Options::default()
        },
    }
}

#[tokio::test]
async fn a_call_says_who_calls_and_never_outlives_the_inbound_one() {
    let world = World::new();
    let guest = world.guest(Grants { call: vec!["*".to_owned()], ..Grants::default() });
    let handle = Handle::new(guest, context(Duration::from_secs(1)));
    assert_eq!(handle.call(call("other")).await.unwrap(), b"{}");
    let options = world.calls.lock().pop().unwrap();
    assert_eq!(options.deadline, handle.context.deadline, "5 s is more than what is left");
    let expected = [("trace-me", "no"), ("Micro-From-Service", "greeter")];
    assert_eq!(options.metadata, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let soon = Options { timeout_ms: Some(20), ..Options::default() };
    let soon = Request { options: soon, ..call("slow") };
    assert_eq!(handle.call(soon).await.unwrap_err().code, 408);
}

#[tokio::test]
async fn a_call_that_was_not_granted_names_the_line_to_add() {
    let world = World::new();
    let guest = world.guest(Grants { call: vec!["go.micro.srv.friend".to_owned()], ..Grants::default() });
    let handle = Handle::new(guest, context(Duration::from_secs(1)));
    assert!(handle.call(call("friend")).await.is_ok());
    let error = handle.call(call("stranger")).await.unwrap_err();
    assert_eq!(error.code, 403);
    assert!(error.detail.contains("`call = [\"stranger\"]`"), "{}", error.detail);
    assert_eq!(handle.call(call("../etc")).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn metadata_is_bounded() {
    let world = World::new();
    let handle = Handle::new(
        world.guest(Grants { call: vec!["*".to_owned()], ..Grants::default() }),
        context(Duration::from_secs(1)),
    );
    let metadata = vec![("k".to_owned(), "v".repeat(40 << 10))];
    let options = Options { metadata, ..Options::default() };
    assert_eq!(handle.call(Request { options, ..call("other") }).await.unwrap_err().code, 400);
    let labels = vec![("k".to_owned(), "v".to_owned()); 33];
    let options = Options { labels, ..Options::default() };
    assert_eq!(handle.call(Request { options, ..call("other") }).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn the_registry_answers_as_micro_does() {
    let world = World::new();
    let handle = Handle::new(world.guest(Grants::default()), context(Duration::from_secs(1)));
    assert_eq!(handle.get_service("go.micro.service.greeter").await.unwrap()[0].name, "greeter");
    for name in ["nobody", "not a name"] {
        let error = handle.get_service(name).await.unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (404, "service not found"));
    }
    assert_eq!(handle.list_services().await.unwrap(), ["greeter"]);
}

#[tokio::test]
async fn a_host_call_ends_with_its_callers_patience() {
    let world = World::new();
    let handle = Handle::new(world.guest(Grants::default()), context(Duration::from_millis(20)));
    let forever = std::future::pending::<Result<(), Error>>();
    assert_eq!(handle.bounded("x", forever).await.unwrap_err().code, 408);
}

#[test]
fn grants_are_checked_when_a_revision_is_configured() {
    let world = World::new();
    let refused = [
        Grants { store: vec!["all".to_owned()], ..Grants::default() },
        Grants { config: vec!["all".to_owned()], ..Grants::default() },
        Grants { registry: Some("write".to_owned()), ..Grants::default() },
        Grants { call: vec!["a--b".to_owned()], ..Grants::default() },
        Grants { http: vec!["https://x".to_owned()], ..Grants::default() },
    ];
    for grants in refused {
        let manifest = Manifest { grants, ..Manifest::default() };
        assert!(Guest::configure(scope(), &manifest, Arc::clone(&world.capabilities)).is_err());
    }
    let granted = world.guest(Grants { store: vec!["own".to_owned()], ..Grants::default() }).granted();
    assert!(granted.store && !granted.client && !granted.registry);
}
