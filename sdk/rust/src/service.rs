//! A service: its handlers, the wrappers around them, and the way from an endpoint's name to a handler.

use std::rc::Rc;

use prost::Message;

use crate::streaming::Streams;
use crate::wrapper::{ClientWrapper, HandlerWrapper, Next, Request};
use crate::{Context, Error, LocalFuture};

/// The endpoints of one proto service, as the generated `…Server` types implement it.
pub trait Endpoints {
    /// The endpoints, as `Service.Method`.
    fn names(&self) -> &'static [&'static str];

    /// Decodes the request, runs the handler and encodes its reply.
    ///
    /// # Errors
    /// What the handler returned; 400 when the bytes are not the endpoint's request message; 404 for an endpoint that
    /// is not among `names`.
    fn call<'a>(
        &'a self,
        context: &'a Context,
        endpoint: &'a str,
        body: Vec<u8>,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>>;

    /// Which sides of `endpoint` are streams. `call` of one that takes a stream has no bytes in `body`, and of one that
    /// replies with a stream returns none: the messages pass by [`Requests`](crate::streaming::Requests) and
    /// [`Replies`](crate::streaming::Replies).
    fn streams(&self, endpoint: &str) -> Streams {
        let _ = endpoint;
        Streams::default()
    }
}

/// What a crate exports. Cheap to clone.
#[derive(Clone)]
pub struct Service(Rc<Inner>);

pub(crate) struct Inner {
    name: String,
    handlers: Vec<Box<dyn Endpoints>>,
    pub(crate) wrappers: Vec<Box<dyn HandlerWrapper>>,
    client_wrappers: Vec<Rc<dyn ClientWrapper>>,
}

impl Service {
    /// Starts a service without handlers.
    pub fn builder() -> Builder {
        Builder(Inner {
            name: String::new(),
            handlers: Vec::new(),
            wrappers: Vec::new(),
            client_wrappers: Vec::new(),
        })
    }

    /// The name given to the builder. The platform knows the service by the name in its `micro.toml`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All endpoints, in the order of the handlers.
    pub fn endpoints(&self) -> Vec<&'static str> {
        self.0.handlers.iter().flat_map(|handler| handler.names()).copied().collect()
    }

    /// Which sides of an endpoint are streams; neither of one that is unknown.
    pub fn streams(&self, endpoint: &str) -> Streams {
        self.0.handler(endpoint).map(|handler| handler.streams(endpoint)).unwrap_or_default()
    }

    /// Runs one call through the wrappers and the handler.
    ///
    /// # Errors
    /// What a wrapper or the handler returned; 404 for an unknown endpoint; 400 for bytes that are not its request.
    pub async fn handle(&self, context: &Context, endpoint: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        crate::client::install(&self.0.client_wrappers);
        let request = Request::inbound(&self.0.name, endpoint, body);
        Next::new(&self.0).run(context, request).await
    }
}

impl Inner {
    fn handler(&self, endpoint: &str) -> Option<&dyn Endpoints> {
        self.handlers.iter().map(AsRef::as_ref).find(|handler| handler.names().contains(&endpoint))
    }

    pub(crate) fn route<'a>(
        &'a self,
        context: &'a Context,
        request: Request,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async move {
            match self.handler(&request.endpoint) {
                Some(handler) => handler.call(context, &request.endpoint, request.body).await,
                None => Err(no_such_endpoint(&request.endpoint)),
            }
        })
    }
}

/// Collects what a [`Service`] is made of.
pub struct Builder(Inner);

impl Builder {
    /// Names the service: wrappers see it, and it is the natural `id` of errors.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// Adds the endpoints of one proto service. Of two handlers with the same endpoint the first answers.
    #[must_use]
    pub fn handler(mut self, handler: impl Endpoints + 'static) -> Self {
        self.0.handlers.push(Box::new(handler));
        self
    }

    /// Puts a wrapper around every handler. The first one added is the outermost.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl HandlerWrapper + 'static) -> Self {
        self.0.wrappers.push(Box::new(wrapper));
        self
    }

    /// Puts a wrapper around every call that the service's clients make. The first one added is the outermost; those
    /// of a single [`Client`](crate::Client) come inside.
    #[must_use]
    pub fn wrap_client(mut self, wrapper: impl ClientWrapper + 'static) -> Self {
        self.0.client_wrappers.push(Rc::new(wrapper));
        self
    }

    /// Finishes the service.
    pub fn build(self) -> Service {
        Service(Rc::new(self.0))
    }
}

/// Decodes a request of `endpoint`.
#[doc(hidden)]
pub fn decode<M: Message + Default>(endpoint: &str, body: &[u8]) -> Result<M, Error> {
    M::decode(body)
        .map_err(|error| Error::bad_request("go.micro.server", format!("the request of {endpoint}: {error}")))
}

/// Encodes a reply.
#[doc(hidden)]
pub fn encode<M: Message>(reply: &M) -> Vec<u8> {
    reply.encode_to_vec()
}

/// The error for an endpoint that no handler has.
#[doc(hidden)]
pub fn no_such_endpoint(endpoint: &str) -> Error {
    Error::not_found("go.micro.server", format!("endpoint {endpoint} not found"))
}
