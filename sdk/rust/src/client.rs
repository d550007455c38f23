//! Calls to other services.

use std::{cell::RefCell, rc::Rc, time::Duration};

use prost::Message;

use crate::Error;
use crate::wrapper::{ClientNext, ClientWrapper, Request};

/// How a call is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Headers added to what the inbound call carried.
    pub metadata: Vec<(String, String)>,
    /// The whole budget, retries included; none is five seconds. It is never more than the inbound call has left.
    pub timeout: Option<Duration>,
    /// Only this version of the service.
    pub version: Option<String>,
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

    async fn send(&self, endpoint: &str, codec: Codec, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut wrappers = INSTALLED.with_borrow(Clone::clone);
        wrappers.extend(self.wrappers.iter().cloned());
        let request = Request {
            service: self.service.clone(),
            endpoint: endpoint.to_owned(),
            codec,
            body,
            options: self.options.clone(),
        };
        ClientNext { wrappers: &wrappers }.run(request).await
    }
}
