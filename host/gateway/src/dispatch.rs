//! One RPC, from a routed entry to the reply's bytes: what the HTTP handlers and calls between services share.

mod stream;

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use micro_api::name::ServiceName;
use micro_api::{Error, ServiceKey};
use micro_capability::client::{
    CallOptions, CallOrigin, Caller, Codec as ClientCodec, Conversation, Selector,
};
use micro_runtime::{Call, Codec, Context, Fault, Runtime};
use tokio::sync::watch;

pub(crate) use self::stream::{Incoming, stream};
use crate::authenticate;
use crate::authorize::Authorized;
use crate::quota::Quota;
use crate::snapshot::{Entry, Snapshot, Target, did_you_mean};
use crate::transcode;

/// Between the first try and its one repetition, at most; a random part of it is waited.
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// A message, and how it is encoded.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) codec: Codec,
    pub(crate) bytes: Bytes,
}

/// Which of a service's nodes is called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// Only those whose metadata has all of these.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) selector: Selector,
}

impl Choice {
    /// 503 where no node has the labels.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), Error> {
        if entry.has_node(&self.labels) {
            return Ok(());
        }
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let detail = format!("none available: no node of {} has {}", entry.service(), labels.join(", "));
        Err(Error::new(entry.error_id(), 503, detail))
    }
}

/// Why a call has no reply.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Not of a service's own error that has none; `error` says 500 then.
    pub(crate) has_code: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, has_code: true }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// [`call_one_of`] any of the service's nodes.
pub(crate) async fn call(
    runtime: &Runtime,
    authorized: &Authorized,
    request: Message,
    wanted: Codec,
    context: Context,
) -> Result<Message, Failed> {
    call_one_of(&Choice::default(), runtime, authorized, request, wanted, context).await
}

/// Makes the call that was authorized; the reply comes in codec `wanted`, whatever the guest speaks. A guest's reply of
/// no bytes stays one in every codec: it is the empty message.
async fn call_one_of(
    choice: &Choice,
    runtime: &Runtime,
    authorized: &Authorized,
    request: Message,
    wanted: Codec,
    context: Context,
) -> Result<Message, Failed> {
    check_endpoint(authorized)?;
    let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
    choice.check(entry)?;
    if entry.streams(endpoint).known() {
        let detail = format!("endpoint `{endpoint}` streams: use open");
        return Err(Error::bad_request(entry.error_id(), detail).into());
    }
    let inside = to_guest(entry, endpoint, request)?;
    let revision = match &entry.target {
        Target::Revision(revision) => revision,
        Target::External(external) => {
            let reply = external.call(endpoint, inside, &context, choice).await?;
            return Ok(from_guest(entry, endpoint, reply, wanted)?);
        }
    };
    let (codec, request_id) = (inside.codec, context.request_id.clone());
    let call = Call { endpoint: endpoint.to_owned(), codec, request: inside.bytes, context };
    let reply = runtime.call(revision, call).await;
    let bytes = reply.map_err(|fault| Failed {
        error: fault.error(&entry.error_id(), &request_id),
        has_code: !matches!(&fault, Fault::Guest(error) if error.code == 0),
    })?;
    Ok(from_guest(entry, endpoint, Message { codec, bytes }, wanted)?)
}

/// 404 where the service has no such endpoint, with the nearest one that the caller may call.
pub(crate) fn check_endpoint(authorized: &Authorized) -> Result<(), Error> {
    let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
    if entry.has_endpoint(endpoint) {
        return Ok(());
    }
    let known = entry.endpoints().iter().map(|endpoint| endpoint.name.clone());
    let near = did_you_mean(endpoint, known, |near| authorized.sees(near));
    let detail = format!("endpoint `{endpoint}` not found in service {}{near}", entry.service());
    Err(Error::not_found(entry.error_id(), detail))
}

fn to_guest(entry: &Entry, endpoint: &str, request: Message) -> Result<Message, Error> {
    let bad = |detail: String| Error::bad_request(entry.error_id(), detail);
    if entry.takes(request.codec) {
        return Ok(request);
    }
    let schema = entry.schema()?;
    let method = schema.as_ref().and_then(|schema| schema.method(endpoint));
    let Some(method) = method else {
        return Err(Error::new(entry.error_id(), 415, unsupported(request.codec)));
    };
    let input = method.input();
    Ok(match request.codec {
        Codec::Json => {
            let object = transcode::parse_object(&request.bytes).map_err(bad)?;
            Message { codec: Codec::Protobuf, bytes: transcode::to_protobuf(&input, object).map_err(bad)? }
        }
        Codec::Protobuf => {
            Message { codec: Codec::Json, bytes: transcode::to_json(&input, &request.bytes).map_err(bad)? }
        }
    })
}

fn unsupported(codec: Codec) -> String {
    match codec {
        Codec::Json => "the service takes no JSON and publishes no schema to translate by".to_owned(),
        Codec::Protobuf => "the service takes JSON only and publishes no schema to translate by".to_owned(),
    }
}

fn from_guest(entry: &Entry, endpoint: &str, reply: Message, wanted: Codec) -> Result<Message, Error> {
    if reply.codec == wanted || reply.bytes.is_empty() {
        return Ok(Message { codec: wanted, bytes: reply.bytes });
    }
    let schema = entry.schema()?;
    let method = schema.as_ref().and_then(|schema| schema.method(endpoint));
    let bad = |detail: String| Error::new(entry.error_id(), 502, format!("the service's reply: {detail}"));
    let output = method.ok_or_else(|| bad("it has no schema".to_owned()))?.output();
    let bytes = match wanted {
        Codec::Json => transcode::to_json(&output, &reply.bytes).map_err(bad)?,
        Codec::Protobuf => {
            let object = transcode::parse_object(&reply.bytes).map_err(bad)?;
            transcode::to_protobuf(&output, object).map_err(bad)?
        }
    };
    Ok(Message { codec: wanted, bytes })
}

/// Calls between services of this node: they never leave the process.
///
/// The runtime's capabilities hold the dispatcher and the dispatcher calls the runtime, so it is made first and bound
/// afterwards, without owning it.
pub struct Dispatcher {
    runtime: OnceLock<Weak<Runtime>>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Counts what the platform delivers; calls between services do not count.
    pub(crate) quota: Arc<dyn Quota>,
}

impl Dispatcher {
    /// A dispatcher over the newest value of `snapshot`; it answers 503 until [`Self::bind`].
    pub fn new(snapshot: watch::Receiver<Arc<Snapshot>>, quota: Arc<dyn Quota>) -> Arc<Self> {
        Arc::new(Self { runtime: OnceLock::new(), snapshot, quota })
    }

    /// Gives it the runtime to call; only the first counts.
    pub fn bind(&self, runtime: &Arc<Runtime>) {
        let _ = self.runtime.set(Arc::downgrade(runtime));
    }

    /// The runtime, while it lives.
    pub(crate) fn runtime(&self) -> Option<Arc<Runtime>> {
        self.runtime.get().and_then(Weak::upgrade)
    }

    /// The newest routes.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }
}

/// A call of a service, ready to be made.
struct Prepared {
    runtime: Arc<Runtime>,
    authorized: Authorized,
    context: Context,
    choice: Choice,
}

impl Dispatcher {
    /// Finds who is called and asks the rules.
    fn prepare(
        &self,
        origin: &CallOrigin,
        service: ServiceName,
        endpoint: String,
        options: CallOptions,
    ) -> Result<Prepared, Error> {
        let namespace = &origin.scope.namespace;
        let runtime = self
            .runtime()
            .ok_or_else(|| Error::new(service.to_string(), 503, "the node is starting or stopping"))?;
        let snapshot = self.snapshot();
        let key = ServiceKey { namespace: namespace.clone(), name: service.clone() };
        let entry = snapshot.find(&key, options.version.as_deref()).ok_or_else(|| {
            snapshot.not_found(&service.to_string(), namespace, &service.to_string(), |_| true)
        })?;
        let tenant = snapshot.tenant(namespace);
        tenant.check_open(namespace)?;
        let caller = authenticate::Caller::service(origin);
        let authorized = Authorized::new(caller, tenant, Arc::clone(entry), endpoint);
        let authorized = authorized.map_err(|refusal| refusal.error)?;
        let context = Context {
            account: authorized.account(),
            metadata: options.metadata,
            deadline: options.deadline,
            traceparent: origin.context.traceparent.clone(),
            request_id: origin.context.request_id.clone(),
        };
        let choice = Choice { labels: options.labels, selector: options.selector };
        Ok(Prepared { runtime, authorized, context, choice })
    }
}

#[async_trait]
impl Caller for Dispatcher {
    async fn call(
        &self,
        origin: CallOrigin,
        service: ServiceName,
        endpoint: String,
        codec: ClientCodec,
        request: Bytes,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        let deadline = options.deadline;
        let prepared = self.prepare(&origin, service, endpoint, options)?;
        let Prepared { runtime, authorized, context, choice } = prepared;
        let codec = codec_of(codec);
        let message = Message { codec, bytes: request };
        let again = (message.clone(), context.clone());
        let first = call_one_of(&choice, &runtime, &authorized, message, codec, context).await;
        match first.map_err(Error::from) {
            Err(error)
                if matches!(error.code, 408 | 500) && repeatable(&authorized.entry, &authorized.endpoint) =>
            {
                let backoff = BACKOFF_MAX.mul_f64(rand::random::<f64>());
                if Instant::now() + backoff >= deadline {
                    return Err(error);
                }
                tokio::time::sleep(backoff).await;
                let (message, context) = again;
                Ok(call_one_of(&choice, &runtime, &authorized, message, codec, context).await?.bytes)
            }
            first => first.map(|reply| reply.bytes),
        }
    }

    async fn open(
        &self,
        origin: CallOrigin,
        service: ServiceName,
        endpoint: String,
        codec: ClientCodec,
        request: Option<Bytes>,
        options: CallOptions,
    ) -> Result<Conversation, Error> {
        let prepared = self.prepare(&origin, service, endpoint, options)?;
        let Prepared { runtime, authorized, context, choice } = prepared;
        check_endpoint(&authorized)?;
        check_open(&authorized, request.is_some())?;
        let codec = codec_of(codec);
        let (requests, incoming) = match request {
            Some(bytes) => (None, Incoming::One(Message { codec, bytes })),
            None => {
                let (sender, mut receiver) = micro_capability::streaming::queue();
                let messages =
                    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|next| next.map(Ok)));
                (Some(sender), Incoming::Many { codec, messages: Box::pin(messages) })
            }
        };
        let replies = stream(&runtime, &authorized, incoming, codec, context, &choice).await?;
        Ok(Conversation { requests, replies })
    }
}

/// 400 where the endpoint does not stream, or not as it is opened.
fn check_open(authorized: &Authorized, has_request: bool) -> Result<(), Error> {
    let (entry, endpoint) = (&authorized.entry, authorized.endpoint.as_str());
    let streams = entry.streams(endpoint);
    let wrong = match (streams.takes, has_request) {
        _ if !streams.possible() => "does not stream: use call",
        (Some(true), true) => "takes a stream: open it without a request and send its messages",
        (Some(false), false) => "takes one message: open it with that",
        _ => return Ok(()),
    };
    Err(Error::bad_request(entry.error_id(), format!("endpoint `{endpoint}` {wrong}")))
}

fn codec_of(codec: ClientCodec) -> Codec {
    match codec {
        ClientCodec::Protobuf => Codec::Protobuf,
        ClientCodec::Json => Codec::Json,
    }
}

/// Whether an endpoint may be asked again: Micro's clients retry 408 and 500 once, unless the service marks the endpoint
/// `idempotent=false`.
fn repeatable(entry: &Entry, endpoint: &str) -> bool {
    let known = entry.endpoints().iter().find(|known| known.name == endpoint);
    known.is_none_or(|known| known.metadata.get("idempotent").is_none_or(|value| value != "false"))
}
