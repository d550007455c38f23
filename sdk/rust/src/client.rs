//! Calls to other services.

use std::{cell::RefCell, rc::Rc, time::Duration};

use prost::Message;

use crate::streaming::{Conversation, Receiving, Sending};
use crate::wrapper::{ClientNext, ClientWrapper, Opening, Request};
use crate::{Error, host};

/// How a call is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Headers added to what the inbound call carried.
    pub metadata: Vec<(String, String)>,
    /// The whole budget, retries included; none is five seconds, and for a stream all that the inbound call has left. It
    /// is never more than that.
    pub timeout: Option<Duration>,
    /// Only this version of the service.
    pub version: Option<String>,
    /// Only nodes whose metadata has all of these.
    pub labels: Vec<(String, String)>,
    /// How one of several nodes is chosen.
    pub selector: Selector,
}

/// How one of several nodes of a service is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Selector {
    /// Of two drawn at random the one with fewer calls.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
}

/// How the messages of a call are encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// As protobuf.
    #[default]
    Protobuf,
    /// As JSON. The platform translates for a service that reads protobuf.
    Json,
}

/// A client of one service. The generated `…Client` types are built on it. Caller's account, trace and deadline go
/// along with each call.
///
/// The service must be granted: `call = ["helloworld"]` under `[grants]` in `micro.toml`.
#[derive(Clone)]
pub struct Client {
    service: String,
    options: Options,
    wrappers: Vec<Rc<dyn ClientWrapper>>,
}

thread_local! {
    /// The wrappers of the service that runs on this thread.
    static INSTALLED: RefCell<Vec<Rc<dyn ClientWrapper>>> = const { RefCell::new(Vec::new()) };
}

/// Makes the clients of this thread use a service's wrappers.
pub(crate) fn install(wrappers: &[Rc<dyn ClientWrapper>]) {
    if !wrappers.is_empty() {
        INSTALLED.with_borrow_mut(|installed| wrappers.clone_into(installed));
    }
}

impl Client {
    /// A client of the service with this name.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), options: Options::default(), wrappers: Vec::new() }
    }

    /// Gives each call this whole budget, retries included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Calls only this version of the service.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.options.version = Some(version.into());
        self
    }

    /// Calls only nodes whose metadata has this value, and those of further labels, too. A call gets 503 when there is
    /// none.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.labels.push((key.into(), value.into()));
        self
    }

    /// Calls the service's nodes one after the other, not the one of two that has fewer calls.
    #[must_use]
    pub fn round_robin(mut self) -> Self {
        self.options.selector = Selector::RoundRobin;
        self
    }

    /// Sends one more header with each call.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.metadata.push((key.into(), value.into()));
        self
    }

    /// Puts a wrapper around each call of this client, inside those added before.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl ClientWrapper + 'static) -> Self {
        self.wrappers.push(Rc::new(wrapper));
        self
    }

    /// Calls `endpoint` (`Service.Method`) and waits for the reply.
    ///
    /// # Errors
    /// What the service answered; 404 when it is unknown, 403 when it is not granted, 408 when the time is over, 500
    /// when the reply is not a `Rsp`.
    pub async fn call<Req: Message, Rsp: Message + Default>(
        &self,
        endpoint: &str,
        request: &Req,
    ) -> Result<Rsp, Error> {
        let reply = self.call_bytes(endpoint, request.encode_to_vec()).await?;
        Rsp::decode(reply.as_slice()).map_err(|error| {
            Error::internal_server_error("go.micro.client", format!("the reply of {endpoint}: {error}"))
        })
    }

    /// Like [`call`](Self::call), with encoded messages.
    ///
    /// # Errors
    /// As `call`.
    pub async fn call_bytes(&self, endpoint: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.send(endpoint, Codec::Protobuf, body).await
    }

    /// Like [`call`](Self::call), with the text of a JSON object: for services whose `.proto` is not at hand. Fields have
    /// the names of the `.proto`.
    ///
    /// # Errors
    /// As `call`; 400 also for what is no JSON object, or has a field that the request does not.
    pub async fn call_json(&self, endpoint: &str, object: impl Into<String>) -> Result<String, Error> {
        let reply = self.send(endpoint, Codec::Json, object.into().into_bytes()).await?;
        String::from_utf8(reply).map_err(|_| {
            Error::internal_server_error("go.micro.client", format!("the reply of {endpoint} is no text"))
        })
    }

    /// Begins a call of an endpoint that takes a stream and replies with one.
    ///
    /// # Errors
    /// 404 when the service is unknown, 403 when it is not granted, 400 when the endpoint streams otherwise, 429 when
    /// 16 such calls are open in the instance. What the service answers comes from [`Conversation::next`].
    pub async fn converse<Req: Message, Rsp: Message + Default>(
        &self,
        endpoint: &str,
    ) -> Result<Conversation<Req, Rsp>, Error> {
        Ok(Conversation::new(endpoint, self.open(endpoint, None).await?))
    }

    /// Begins a call of an endpoint that replies to `request` with a stream.
    ///
    /// # Errors
    /// As [`converse`](Self::converse).
    pub async fn receiving<Req: Message, Rsp: Message + Default>(
        &self,
        endpoint: &str,
        request: &Req,
    ) -> Result<Receiving<Rsp>, Error> {
        Ok(Receiving::new(endpoint, self.open(endpoint, Some(request.encode_to_vec())).await?))
    }

    /// Begins a call of an endpoint that takes a stream and replies once.
    ///
    /// # Errors
    /// As [`converse`](Self::converse).
    pub async fn sending<Req: Message, Rsp: Message + Default>(
        &self,
        endpoint: &str,
    ) -> Result<Sending<Req, Rsp>, Error> {
        Ok(Sending::new(endpoint, self.open(endpoint, None).await?))
    }

    /// Opens a stream, with the wrappers around its beginning; `request` is the one message of an endpoint that takes no
    /// stream.
    async fn open(&self, endpoint: &str, request: Option<Vec<u8>>) -> Result<host::Outbound, Error> {
        let wrappers = self.all_wrappers();
        let opening = Opening { takes_stream: request.is_none(), call: RefCell::new(None) };
        let mut request = self.request(endpoint, Codec::Protobuf, request.unwrap_or_default());
        request.stream = true;
        ClientNext { wrappers: &wrappers, opening: Some(&opening) }.run(request).await?;
        opening.call.into_inner().ok_or_else(|| {
            Error::internal_server_error(
                "go.micro.client",
                "a wrapper of the client answered without opening the stream",
            )
        })
    }

    async fn send(&self, endpoint: &str, codec: Codec, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let wrappers = self.all_wrappers();
        ClientNext { wrappers: &wrappers, opening: None }.run(self.request(endpoint, codec, body)).await
    }

    fn all_wrappers(&self) -> Vec<Rc<dyn ClientWrapper>> {
        let mut wrappers = INSTALLED.with_borrow(Clone::clone);
        wrappers.extend(self.wrappers.iter().cloned());
        wrappers
    }

    fn request(&self, endpoint: &str, codec: Codec, body: Vec<u8>) -> Request {
        Request {
            service: self.service.clone(),
            endpoint: endpoint.to_owned(),
            codec,
            body,
            options: self.options.clone(),
            stream: false,
        }
    }
}
