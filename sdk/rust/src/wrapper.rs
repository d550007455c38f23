//! Code around every handler, and around every call of a client. Wrappers run in the order they were given, the first
//! one outermost.

use std::cell::RefCell;
use std::rc::Rc;

use crate::client::{Codec, Options};
use crate::service::Inner;
use crate::{Context, Error, LocalFuture, host};

/// One call on its way through the wrappers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The service that is called.
    pub service: String,
    /// `Service.Method`.
    pub endpoint: String,
    /// How `body` and the reply are encoded; in a handler's wrapper it is always protobuf.
    pub codec: Codec,
    /// The message.
    pub body: Vec<u8>,
    /// How a client sends it; of no effect in a handler's wrapper.
    pub options: Options,
    /// Whether a client opens a stream: its wrappers see `body` as the one request of an endpoint that takes no stream,
    /// empty otherwise, and no reply. They must go on with the call, or return an error.
    pub stream: bool,
}

impl Request {
    pub(crate) fn inbound(service: &str, endpoint: &str, body: Vec<u8>) -> Self {
        Self {
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            codec: Codec::Protobuf,
            body,
            options: Options::default(),
            stream: false,
        }
    }
}

/// Code around every handler. An `async fn` with the attribute [`wrapper`](macro@crate::wrapper) is one:
///
/// ```
/// use micro_sdk::{Context, Error, Next, Request};
///
/// #[micro_sdk::wrapper]
/// async fn log(ctx: &Context, request: Request, next: Next<'_>) -> Result<Vec<u8>, Error> {
///     micro_sdk::info!("[wrapper] request to endpoint: {}", request.endpoint);
///     next.run(ctx, request).await
/// }
/// ```
pub trait HandlerWrapper {
    /// Handles a call, usually by [`Next::run`].
    ///
    /// # Errors
    /// The caller gets what it returns.
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        request: Request,
        next: Next<'a>,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>>;
}

impl<F> HandlerWrapper for F
where
    F: for<'a> Fn(&'a Context, Request, Next<'a>) -> LocalFuture<'a, Result<Vec<u8>, Error>>,
{
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        request: Request,
        next: Next<'a>,
    ) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        self(context, request, next)
    }
}

/// What lies inside a handler's wrapper: the wrappers after it, then the handler.
pub struct Next<'a> {
    service: &'a Inner,
    wrappers: &'a [Box<dyn HandlerWrapper>],
}

impl<'a> Next<'a> {
    pub(crate) fn new(service: &'a Inner) -> Self {
        Self { service, wrappers: &service.wrappers }
    }

    /// Goes on with the call.
    pub fn run(self, context: &'a Context, request: Request) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        match self.wrappers.split_first() {
            Some((outer, inner)) => outer.handle(context, request, Self { wrappers: inner, ..self }),
            None => self.service.route(context, request),
        }
    }
}

/// Code around the calls of a client. An `async fn` with the attribute [`wrapper`](macro@crate::wrapper) is one:
///
/// ```
/// use micro_sdk::{ClientNext, Error, Request};
///
/// #[micro_sdk::wrapper]
/// async fn log(request: Request, next: ClientNext<'_>) -> Result<Vec<u8>, Error> {
///     micro_sdk::info!("[wrapper] client request to service: {} endpoint: {}", request.service, request.endpoint);
///     next.run(request).await
/// }
/// ```
pub trait ClientWrapper {
    /// Makes a call, usually by [`ClientNext::run`].
    ///
    /// # Errors
    /// The caller gets what it returns.
    fn call<'a>(&'a self, request: Request, next: ClientNext<'a>) -> LocalFuture<'a, Result<Vec<u8>, Error>>;
}

impl<F> ClientWrapper for F
where
    F: for<'a> Fn(Request, ClientNext<'a>) -> LocalFuture<'a, Result<Vec<u8>, Error>>,
{
    fn call<'a>(&'a self, request: Request, next: ClientNext<'a>) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        self(request, next)
    }
}

/// What lies inside a client's wrapper: the wrappers after it, then the platform.
pub struct ClientNext<'a> {
    pub(crate) wrappers: &'a [Rc<dyn ClientWrapper>],
    pub(crate) opening: Option<&'a Opening>,
}

/// Where the stream goes that a client opens.
pub(crate) struct Opening {
    pub(crate) takes_stream: bool,
    pub(crate) call: RefCell<Option<host::Outbound>>,
}

impl<'a> ClientNext<'a> {
    /// Goes on with the call.
    pub fn run(self, request: Request) -> LocalFuture<'a, Result<Vec<u8>, Error>> {
        match self.wrappers.split_first() {
            Some((outer, inner)) => outer.call(request, Self { wrappers: inner, ..self }),
            None => match self.opening {
                Some(opening) => Box::pin(async move {
                    let call = host::open(request, opening.takes_stream).await?;
                    opening.call.replace(Some(call));
                    Ok(Vec::new())
                }),
                None => Box::pin(host::call(request)),
            },
        }
    }
}
