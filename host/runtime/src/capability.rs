//! The functions of the host that a guest may call. Each capability is one file with its context and its implementation
//! of the generated host traits; this module joins them.
//!
//! In: the calls of a guest. Out: their results, log lines, and requests to the network. [`HostState`] is the data of a
//! wasmtime `Store`, and [`link`] defines which functions exist. Bounded by [`crate::limits`] and by the limits of each
//! capability. A call that was not granted returns an error that the guest can match on.

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

/// The data of one `Store`: the state of the host for one instance. One task owns it, so it needs no lock.
pub struct HostState {
    /// The resources of which the guest has handles.
    pub table: ResourceTable,
    /// The limits on memory and tables.
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
    /// Creates the state for a new instance.
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

    /// Takes what the guest has reported since the last call, with the last line that it wrote to standard error.
    pub fn take_report(&mut self) -> GuestReport {
        GuestReport { last_line: self.last_line.take().map(|line| text::reason(&line)), ..self.report.take() }
    }

    /// Ends a call of the guest: cancels every HTTP request that it left open. Returns a sentence about the last
    /// destination that was denied to it.
    pub fn end_call(&self) -> Option<String> {
        self.egress.end_call()
    }

    /// Adds a line about the failure of the guest to its log lines.
    pub fn add_host_line(&self, text: String) {
        self.log.add_host_line(text);
    }

    /// The number of handles that the guest has.
    pub fn handle_count(&mut self) -> usize {
        // The table has no count of its entries. Its keys are dense and below `HANDLES`.
        (0..MAX_HANDLES as u32).filter(|key| self.table.get_any_mut(*key).is_ok()).count()
    }

    /// Takes the requests that the instance has sent since the last call, if recording is on.
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

/// Adds the contract and WASI to the linker. `state` and `wasi:http` are defined for every receiver, because language
/// runtimes import them even if the receiver does not use them. [`SlotState`] and [`Egress`] refuse what was not
/// granted when it is used.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    contract::batches::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::metrics_view::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::log::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::report::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    contract::state::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}
