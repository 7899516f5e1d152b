//! What a guest tells its operator: `report` of the contract.
//!
//! In: words of a guest. Out: [`Said`], collected over one call and handed to whoever made it, so that a guest that
//! repeats itself a million times in a call costs one event. Bounded by the caps of [`barnabas_base::text`].

use super::HostState;
use crate::contract::wit::kafka_telemetry::receiver::report as wit;
use barnabas_base::text;

/// What was said in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestReport {
    /// Message and place of the first panic.
    pub fault: Option<String>,
    /// The last line of standard error that says something: a reason, should it have broken without a `fault`.
    pub last_line: Option<String>,
    /// Why it cannot work as it is set up; the last word.
    pub misconfigured: Option<String>,
    /// Points that the sink discarded.
    pub rejected_points: u64,
    /// Why; the last word.
    pub rejected_reason: String,
}

/// Collects.
#[derive(Debug, Default)]
pub struct ReportCollector(GuestReport);

impl ReportCollector {
    /// What was said since this was last asked.
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
