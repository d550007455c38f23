//! What belongs to one store.

use micro_capability::{Ctx, View};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::limits::Limiter;

/// Handles of one instance's resources at once. wasmtime allows a million.
const RESOURCES_MAX: usize = 100_000;

/// A store's data: WASI without anything granted, our capabilities, the instance's account.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    capability: Ctx,
    pub(crate) limiter: Limiter,
}

impl State {
    pub(crate) fn new(wasi: WasiCtx, capability: Ctx, limiter: Limiter) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self { wasi, http: WasiHttpCtx::new(), table, capability, limiter }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.capability, table: &mut self.table, ctx: &mut self.http }
    }
}

impl View for State {
    fn capability(&mut self) -> &mut Ctx {
        &mut self.capability
    }

    fn with_table(&mut self) -> (&mut Ctx, &mut ResourceTable) {
        (&mut self.capability, &mut self.table)
    }
}
