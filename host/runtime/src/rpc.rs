//! Calls of the `handler` export, in both forms of the package.

use std::sync::Arc;

use bytes::Bytes;
use micro_artifact::Codec;
use micro_capability::platform::micro::platform::types::Codec as WitCodec;
use micro_capability::platform_sync::micro::platform_sync::types::Codec as WitSyncCodec;
use micro_capability::streaming::Near;
use micro_capability::{CallId, Context, View};
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;

use crate::driver::Ended;
use crate::fault::Fault;
use crate::instance::{Bound, Export, Instance, Start, call_fault};
use crate::revision::Revision;
use crate::slot::Slot;
use crate::state::State;

/// One RPC as the runtime takes it.
#[derive(Debug, Clone)]
pub struct Call {
    /// `Service.Method`.
    pub endpoint: String,
    /// How `request` is encoded, and how the answer will be. One that the guest accepts.
    pub codec: Codec,
    /// The message; empty bytes are an empty message.
    pub request: Bytes,
    /// What travels along.
    pub context: Context,
}

/// What the guest is told, without the context that the capabilities share.
pub(crate) struct Request {
    pub(crate) endpoint: String,
    pub(crate) codec: Codec,
    pub(crate) bytes: Bytes,
    /// Where the endpoint streams.
    pub(crate) stream: Option<Arc<Near>>,
}

/// The handler's own answer; its error is [`Fault::Guest`].
pub(crate) type Answer = Result<Vec<u8>, Fault>;

/// One call from instantiation to the end of all that the guest started in it.
pub(crate) async fn serve(
    revision: Arc<Revision>,
    start: Start,
    context: Arc<Context>,
    mut request: Request,
    slot: Arc<Slot<Answer>>,
) -> Ended {
    let mut instance = start.instance(&revision, Export::Handler).await?;
    instance.calls += 1;
    instance.store.set_epoch_deadline(1);
    let capability = instance.store.data_mut().capability();
    let call = capability.begin(Arc::clone(&context));
    if let Some(near) = request.stream.take() {
        capability.attach(call, near);
    }
    let called = call_handler(&mut instance, &context, request, call, &slot).await;
    instance.store.data_mut().capability().end(call);
    match called {
        Ok(()) => Ok(revision.reusable(instance)),
        Err(error) => Err(call_fault(&error, &instance.meter)),
    }
}

async fn call_handler(
    instance: &mut Instance,
    context: &Context,
    request: Request,
    call: CallId,
    slot: &Slot<Answer>,
) -> wasmtime::Result<()> {
    let bound = Arc::clone(&instance.bound);
    match &*bound {
        Bound::Handler(service) => {
            let serve = async |accessor: &Accessor<State>| {
                slot.fill(call_async(accessor, service, context, request, call).await?);
                no_more_tasks(accessor).await;
                wasmtime::error::Ok(())
            };
            instance.store.run_concurrent(serve).await?
        }
        Bound::HandlerSync(service) => {
            let codec = match request.codec {
                Codec::Protobuf => WitSyncCodec::Protobuf,
                Codec::Json => WitSyncCodec::Json,
            };
            let handler = service.micro_platform_sync_handler();
            let answer = handler
                .call_handle(
                    &mut instance.store,
                    &context.to_wit_sync(),
                    &request.endpoint,
                    codec,
                    &request.bytes,
                )
                .await?;
            slot.fill(answer.map_err(|error| Fault::Guest(error.into())));
            Ok(())
        }
        _ => Err(wasmtime::format_err!("the instance was made for another export")),
    }
}

/// Calls the async handler in an instance that may run other calls.
pub(crate) async fn call_async(
    accessor: &Accessor<State>,
    service: &micro_capability::platform::Service,
    context: &Context,
    request: Request,
    call: CallId,
) -> wasmtime::Result<Answer> {
    let codec = match request.codec {
        Codec::Protobuf => WitCodec::Protobuf,
        Codec::Json => WitCodec::Json,
    };
    let handler = service.micro_platform_handler().func_handle();
    let parameters = (context.to_wit(), request.endpoint, codec, request.bytes.to_vec());
    let started = accessor.with(|mut access| {
        let started = handler.start_call_concurrent(access.as_context_mut(), parameters)?;
        access.data_mut().capability().bind(call, started.task());
        wasmtime::error::Ok(started)
    })?;
    let (answer,) = handler.finish_call_concurrent(accessor, started).await?;
    Ok(answer.map_err(|error| Fault::Guest(error.into())))
}

/// Waits for what the guest does after it answered.
pub(crate) async fn no_more_tasks(accessor: &Accessor<State>) {
    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
}

/// An answer that is small enough.
pub(crate) fn check(answer: Answer, bytes_max: u64) -> Result<Bytes, Fault> {
    match answer {
        Ok(bytes) if bytes.len() as u64 > bytes_max => Err(Fault::ResponseLimit),
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(fault) => Err(fault),
    }
}
