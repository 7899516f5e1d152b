//! The reports of a guest to its operator: the interface `report` of the contract.
//!
//! In: reports of a guest. Out: one [`GuestReport`] for each call of the guest, which the caller turns into events. So
//! a guest that reports a million times in one call costs one event. Bounded by the limits of [`barnabas_base::text`].

use super::HostState;
use crate::contract::wit::kafka_telemetry::receiver::report as wit;
use barnabas_base::text;

/// What a guest reported in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestReport {
    /// The message and the location of the first panic.
    pub fault: Option<String>,
    /// The last line of standard error that is a message. It is the reason of a trap without a `fault`.
    pub last_line: Option<String>,
    /// The last reason why it cannot work as configured.
    pub misconfigured: Option<String>,
    /// The number of data points that the sink rejected.
    pub rejected_points: u64,
    /// The last reason for which the sink rejected data points.
    pub rejected_reason: String,
}

/// Collects the reports of one call.
#[derive(Debug, Default)]
pub struct ReportCollector(GuestReport);

impl ReportCollector {
    /// Takes what was reported since the last call.
    pub fn take(&mut self) -> GuestReport {
        std::mem::take(&mut self.0)
    }
}

impl wit::Host for HostState {
    fn fault(&mut self, message: String) -> wasmtime::Result<()> {
        self.report.0.fault.get_or_insert_with(|| text::sentence(&message));
        Ok(())
    }

    fn misconfigured(&mut self, reason: String) -> wasmtime::Result<()> {
        self.report.0.misconfigured = Some(text::reason(&reason));
        Ok(())
    }

    fn rejected_points(&mut self, points: u64, reason: String) -> wasmtime::Result<()> {
        let report = &mut self.report.0;
        report.rejected_points = report.rejected_points.saturating_add(points);
        report.rejected_reason = text::reason(&reason);
        Ok(())
    }
}
