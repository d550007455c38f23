//! The floor: wasmtime by itself, with the same engines and nothing of the platform around it.

use std::sync::mpsc::RecvTimeoutError;

use micro_capability::{platform, platform_sync};
use micro_engine::{EngineConfig, EngineKind};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// What a bare store holds.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
}

/// Outbound HTTP, which no guest of this benchmark uses.
struct Hooks;

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(&mut self, _: http::Request<WasiBody>, _: Option<RequestOptions>, _: Done) -> Sent {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl platform::micro::platform::log::Host for State {
    fn write(
        &mut self,
        _level: platform::micro::platform::log::Level,
        _message: String,
        _fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl platform_sync::micro::platform_sync::log::Host for State {
    fn write(
        &mut self,
        _level: platform_sync::micro::platform_sync::log::Level,
        _message: String,
        _fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        Ok(())
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
    pub(crate) fn new(wasm: &[u8], kind: EngineKind) -> wasmtime::Result<Self> {
        let engine = micro_engine::engine(kind, &EngineConfig::default())?;
        let component = Component::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        if kind == EngineKind::Async {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        }
        // The guest logs a line a call: that costs the floor what the way out of the guest costs.
        match kind {
            EngineKind::Async => {
                platform::micro::platform::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)?
            }
            EngineKind::Sync => {
                platform_sync::micro::platform_sync::log::add_to_linker::<_, HasSelf<State>>(
                    &mut linker,
                    |s| s,
                )?;
            }
        }
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        refuse_the_rest(&mut linker, &component)?;
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

    pub(crate) async fn instance(&self) -> wasmtime::Result<Instance> {
        let state = State {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks,
            table: ResourceTable::new(),
        };
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

/// Our interfaces that a guest imports and does not use in a call: componentize-js imports all of them.
fn refuse_the_rest(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if !name.starts_with("micro:") || name.contains("/log@") {
            continue;
        }
        let mut linked = linker.instance(name)?;
        for (function, item) in instance.exports(&engine) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                let refused = format!("{name} {function}");
                linked.func_new(function, move |_, _, _, _| {
                    Err(wasmtime::format_err!("{refused} is not here"))
                })?;
            }
        }
    }
    Ok(())
}

impl Instance {
    pub(crate) async fn call(&mut self, endpoint: &str, request: &[u8]) -> wasmtime::Result<Vec<u8>> {
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
