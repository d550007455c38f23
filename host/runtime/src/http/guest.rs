//! The side of an HTTP call that runs in the store.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as _, Frame};
use micro_capability::{Context, View};
use wasmtime::component::{Accessor, GuestTaskId, Resource, TypedFuncCallConcurrent};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as SchemeP2;
use wasmtime_wasi_http::p3::bindings::http::types as p3_types;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

use super::body::RequestBody;
use crate::driver::Ended;
use crate::fault::Fault;
use crate::instance::{Bound, Export, Instance, Start, call_fault};
use crate::revision::Revision;
use crate::rpc::no_more_tasks;
use crate::slot::Slot;
use crate::state::State;

/// A request on its way into a guest.
pub(crate) type Inbound = Request<RequestBody>;

/// What a guest answers: a head with a body that may still be written, or an error code in its own words.
pub(crate) type Answer = Result<Response<GuestBody>, Fault>;

/// A body that the guest writes, and the means to tell the guest's side that nobody reads on.
pub(crate) struct GuestBody {
    body: WasiBody,
    end: End,
}

impl GuestBody {
    /// The next part. A body that just stops because its instance is gone ends with an error, never as if it were
    /// whole.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, wasmtime_wasi_http::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) && self.end.0.failed.load(Acquire) {
            return Poll::Ready(Some(Err(wasmtime_wasi_http::Error::HttpResponseIncomplete)));
        }
        polled
    }
}

/// Tells the store's event loop that the body was read to its end, or dropped.
struct End(Arc<Ending>);

/// Tells the reader of a body that the call which writes it is gone.
struct Writing(Arc<Ending>);

#[derive(Default)]
struct Ending {
    ended: AtomicBool,
    failed: AtomicBool,
    waker: AtomicWaker,
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.ended.store(true, Release);
        self.0.waker.wake();
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // The store, which holds the other end of the body, is dropped after the call.
        if !self.0.ended.load(Acquire) {
            self.0.failed.store(true, Release);
        }
    }
}

impl Writing {
    /// The call went well, so what it wrote is all that it wanted to.
    fn is_whole(&self) {
        self.0.ended.store(true, Release);
    }

    async fn until_read(&self) {
        let ending = &self.0;
        std::future::poll_fn(|cx| {
            if ending.ended.load(Acquire) {
                return Poll::Ready(());
            }
            ending.waker.register(cx.waker());
            if ending.ended.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// One call from instantiation to the end of all that the guest does in it.
pub(crate) async fn serve(
    revision: Arc<Revision>,
    start: Start,
    context: Arc<Context>,
    request: Inbound,
    slot: Arc<Slot<Answer>>,
) -> Ended {
    let mut instance = start.instance(&revision, Export::Http).await?;
    instance.calls += 1;
    instance.store.set_epoch_deadline(1);
    let call = instance.store.data_mut().capability().begin(context);
    let bound = Arc::clone(&instance.bound);
    let called = match &*bound {
        Bound::HttpP2(proxy) => serve_p2(&mut instance, proxy, request, &slot).await,
        Bound::HttpP3(service) => serve_p3(&mut instance, service, request, &slot).await,
        _ => Err(wasmtime::format_err!("the instance was made for another export")),
    };
    instance.store.data_mut().capability().end(call);
    match called {
        Ok(()) => Ok(revision.reusable(instance)),
        Err(error) => Err(call_fault(&error, &instance.meter)),
    }
}

async fn serve_p2(
    instance: &mut Instance,
    proxy: &wasmtime_wasi_http::p2::bindings::Proxy,
    mut request: Inbound,
    slot: &Arc<Slot<Answer>>,
) -> wasmtime::Result<()> {
    let scheme = match scheme(request.uri()) {
        scheme if scheme == Scheme::HTTPS => SchemeP2::Https,
        _ => SchemeP2::Http,
    };
    if request.uri().authority().is_none() {
        let authority = authority(&request);
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
    let mut view = instance.store.data_mut().http();
    let request = view.new_incoming_request(scheme, request)?;
    let writing = Writing(Arc::default());
    let end = End(Arc::clone(&writing.0));
    let answered = Arc::clone(slot);
    let out = view.new_response_outparam_from_callback(move |answer| {
        answered.fill(match answer {
            Ok(response) => Ok(response.map(|body| GuestBody { body, end })),
            Err(code) => Err(Fault::NoAnswer(format!("the service answered with the error {code:?}"))),
        });
    })?;
    proxy.wasi_http_incoming_handler().call_handle(&mut instance.store, request, out).await?;
    writing.is_whole();
    Ok(())
}

async fn serve_p3(
    instance: &mut Instance,
    service: &p3::bindings::Service,
    request: Inbound,
    slot: &Arc<Slot<Answer>>,
) -> wasmtime::Result<()> {
    let call = async |accessor: &Accessor<State>| {
        let prepared = accessor.with(|mut store| prepare_p3(store.as_context_mut(), service, request))?;
        finish_p3(accessor, service, prepared, slot).await?;
        no_more_tasks(accessor).await;
        wasmtime::error::Ok(())
    };
    instance.store.run_concurrent(call).await?
}

/// What the 0.3 export returns.
type Handled = Result<Resource<p3::Response>, p3_types::ErrorCode>;

/// A call of the 0.3 export whose task exists but has not run.
pub(crate) struct Prepared {
    call: TypedFuncCallConcurrent<State, (Resource<p3::Request>,), (Handled,)>,
    io: Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>,
}

impl Prepared {
    pub(crate) fn task(&self) -> GuestTaskId {
        self.call.task()
    }
}

pub(crate) fn prepare_p3(
    mut store: StoreContextMut<'_, State>,
    service: &p3::bindings::Service,
    mut request: Inbound,
) -> wasmtime::Result<Prepared> {
    // Clients send the path alone; the guest is told what it was asked as.
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri =
        Uri::builder().scheme(scheme(request.uri())).authority(authority(&request)).path_and_query(path);
    *request.uri_mut() = uri.build()?;
    let view = store.data_mut().http();
    let (request, io) = p3::Request::from_http(view.hooks, request);
    let request = view.table.push(request)?;
    let call = service.wasi_http_handler().func_handle().start_call_concurrent(store, (request,))?;
    Ok(Prepared { call, io: Box::pin(io) })
}

/// Runs the call until its body has been read or nobody reads it any more.
pub(crate) async fn finish_p3(
    accessor: &Accessor<State>,
    service: &p3::bindings::Service,
    prepared: Prepared,
    slot: &Slot<Answer>,
) -> wasmtime::Result<()> {
    let handle = service.wasi_http_handler().func_handle();
    let (answer,) = handle.finish_call_concurrent(accessor, prepared.call).await?;
    let response = match answer {
        Ok(response) => response,
        Err(code) => {
            slot.fill(Err(Fault::NoAnswer(format!("the service answered with the error {code:?}"))));
            return Ok(());
        }
    };
    let response = accessor.with(|mut store| {
        let response = store.data_mut().http().table.delete(response)?;
        response.into_http(store, prepared.io)
    });
    let writing = Writing(Arc::default());
    let end = End(Arc::clone(&writing.0));
    slot.fill(match response {
        Ok(response) => Ok(response.map(|body| GuestBody { body, end })),
        Err(error) => Err(Fault::BadResponse(format!("{error:#}"))),
    });
    writing.until_read().await;
    Ok(())
}

fn scheme(uri: &Uri) -> Scheme {
    uri.scheme().cloned().unwrap_or(Scheme::HTTP)
}

/// Whom the request was for: its URI, else its `Host`.
fn authority<B>(request: &Request<B>) -> Authority {
    let host =
        || request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    request.uri().authority().cloned().or_else(host).unwrap_or(Authority::from_static("localhost"))
}
