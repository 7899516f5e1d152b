//! What a guest may ask of the host. One file a capability, one shape: context, host traits; joined here.
//!
//! In: calls of a guest. Out: answers, log lines, requests into the world. [`State`] is what a Store carries, [`link`]
//! is the list of what there is. Bounded by [`crate::plugin::limits`] and by each capability's own caps. What is not
//! granted is not linked, or is refused with an answer that the guest can match on.

pub mod batch;
pub mod egress;
pub mod log;
pub mod report;
pub mod std_base;
pub mod view;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::contract::wit::Receiver;
use crate::plugin::limits::{HANDLES, HEADER_BYTES, Limiter};

use egress::Egress;
use log::Log;
use report::Report;

/// What one Store carries: the host's side of one instance. Owned by one task and behind no lock.
pub struct State {
    /// Everything the guest holds handles of.
    pub table: ResourceTable,
    /// Memory and tables.
    pub limiter: Limiter,
    /// What the guest said in this call.
    pub report: Report,
    log: Log,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
}

impl State {
    /// For a new instance.
    pub fn new(limiter: Limiter, log: Log, egress: Egress) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES);
        let wasi = std_base::context(&log);
        Self { table, limiter, report: Report::default(), log, wasi, http, egress }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Offers the contract and the WASI that needs no grant; `http` adds what does.
pub fn link(linker: &mut Linker<State>, http: bool) -> wasmtime::Result<()> {
    Receiver::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    if http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    }
    Ok(())
}
