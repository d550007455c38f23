//! The floor: wasmtime by itself, with the same engines and nothing of the platform around it.

use std::sync::mpsc::RecvTimeoutError;

use micro_capability::{platform, platform_sync};
use micro_engine::{EngineConfig, EngineKind};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What a bare store holds.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

enum Pre {
    Async(platform::ServicePre<State>),
    Sync(platform_sync::ServicePre<State>),
}

enum Service {
    Async(platform::Service),
    Sync(platform_sync::Service),
}

/// A component that is ready to be instantiated.
pub(crate) struct Bare {
    engine: Engine,
    pre: Pre,
    _epoch: std::sync::mpsc::Sender<()>,
}

/// An instance that can be called again.
pub(crate) struct Instance {
    store: Store<State>,
    service: Service,
}

impl Bare {
    pub(crate) fn new(wasm: &[u8], kind: EngineKind) -> Result<Self> {
        let engine = micro_engine::engine(kind, &EngineConfig::default())?;
        let component = Component::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        if kind == EngineKind::Async {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        }
        linker.define_unknown_imports_as_traps(&component)?;
        let pre = linker.instantiate_pre(&component)?;
        let pre = match kind {
            EngineKind::Async => Pre::Async(platform::ServicePre::new(pre)?),
            EngineKind::Sync => Pre::Sync(platform_sync::ServicePre::new(pre)?),
        };
        let (sender, stop) = std::sync::mpsc::channel();
        let ticking = engine.clone();
        std::thread::spawn(move || {
            // Ends when the sender is dropped.
            while stop.recv_timeout(std::time::Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                ticking.increment_epoch();
            }
        });
        Ok(Self { engine, pre, _epoch: sender })
    }

    pub(crate) async fn instance(&self) -> Result<Instance> {
        let state = State { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(wasmtime::UpdateDeadline::Yield(1)));
        let service = match &self.pre {
            Pre::Async(pre) => Service::Async(pre.instantiate_async(&mut store).await?),
            Pre::Sync(pre) => Service::Sync(pre.instantiate_async(&mut store).await?),
        };
        Ok(Instance { store, service })
    }
}

impl Instance {
    pub(crate) async fn call(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>> {
        let answer = match &self.service {
            Service::Async(service) => {
                use platform::micro::platform::types::{Codec, Context};
                let context = Context {
                    account: None,
                    metadata: Vec::new(),
                    deadline: u64::MAX,
                    traceparent: String::new(),
                    request_id: String::new(),
                };
                let handler = service.micro_platform_handler();
                let (endpoint, request) = (endpoint.to_owned(), request.to_vec());
                self.store
                    .run_concurrent(async |accessor| {
                        handler.call_handle(accessor, context, endpoint, Codec::Protobuf, request).await
                    })
                    .await??
                    .map_err(|error| error.detail)
            }
            Service::Sync(service) => {
                use platform_sync::micro::platform_sync::types::{Codec, Context};
                let context = Context {
                    account: None,
                    metadata: Vec::new(),
                    deadline: u64::MAX,
                    traceparent: String::new(),
                    request_id: String::new(),
                };
                let handler = service.micro_platform_sync_handler();
                let codec = Codec::Json;
                handler
                    .call_handle(&mut self.store, &context, endpoint, codec, request)
                    .await?
                    .map_err(|error| error.detail)
            }
        };
        answer.map_err(|detail| wasmtime::format_err!("the guest refused the call: {detail}"))
    }
}
