//! What a guest may ask of the host. One file a capability, one shape: context, host traits; joined here.
//!
//! In: calls of a guest. Out: answers, log lines, requests into the world. [`State`] is what a Store carries, [`link`]
//! is the list of what there is. Bounded by [`crate::limits`] and by each capability's own caps. What is not
//! granted is refused, call by call, with an answer that the guest can match on.

pub mod batch;
pub mod egress;
pub mod log;
pub mod report;
pub mod state;
pub mod view;
pub mod wasi_context;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::contract::wit::kafka_telemetry::receiver as contract;
use crate::limits::{MAX_HANDLES, MAX_HEADER_BYTES, MemoryLimiter};
use barnabas_base::text;

use egress::{Egress, SentRequest};
use log::GuestLog;
use report::{GuestReport, ReportCollector};
use state::SlotState;
use wasi_context::LastStderrLine;

/// What one Store carries: the host's side of one instance. Owned by one task and behind no lock.
pub struct HostState {
    /// Everything the guest holds handles of.
    pub table: ResourceTable,
    /// Memory and tables.
    pub limiter: MemoryLimiter,
    report: ReportCollector,
    log: GuestLog,
    last_line: LastStderrLine,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
    slot_state: SlotState,
}

impl HostState {
    /// For a new instance.
    pub fn new(limiter: MemoryLimiter, log: GuestLog, egress: Egress, shelf: SlotState) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HEADER_BYTES);
        let (wasi, last_line) = wasi_context::empty_context(&log);
        Self {
            table,
            limiter,
            report: ReportCollector::default(),
            log,
            last_line,
            wasi,
            http,
            egress,
            slot_state: shelf,
        }
    }

    /// What the guest said since this was last asked, with the last line that it wrote to standard error.
    pub fn take_report(&mut self) -> GuestReport {
        GuestReport { last_line: self.last_line.take().map(|line| text::reason(&line)), ..self.report.take() }
    }

    /// Ends a call of the guest: every request that it left open. The last destination that was refused to it, in a
    /// sentence.
    pub fn end_call(&self) -> Option<String> {
        self.egress.end_call()
    }

    /// Keeps among the guest's lines how it broke.
    pub fn add_host_line(&self, text: String) {
        self.log.add_host_line(text);
    }

    /// How many handles the guest holds.
    pub fn handle_count(&mut self) -> usize {
        // The table does not count. Its keys are dense and it has no more of them than this.
        (0..MAX_HANDLES as u32).filter(|key| self.table.get_any_mut(*key).is_ok()).count()
    }

    /// The instance's requests since this was last asked, where somebody compares.
    pub fn take_sent(&self) -> Vec<SentRequest> {
        self.egress.take_sent()
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Offers the contract and WASI. `state` and `wasi:http` are there for every receiver, since language runtimes import them
/// whether they are used or not; what was not granted is refused by [`Shelf`] and [`Egress`] when it is asked for.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    contract::batches::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::metrics_view::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::log::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::report::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::state::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}
