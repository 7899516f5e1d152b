//! What a guest tells its operator: `report` of the contract.
//!
//! In: words of a guest. Out: [`Said`], collected over one call and handed to whoever made it, so that a guest that
//! repeats itself a million times in a call costs one event. Bounded by a cap on each text.

use super::State;
use crate::contract::wit::kafka_telemetry::receiver::report as wit;

/// Most bytes kept of one text.
const TEXT_BYTES: usize = 4 * 1024;

/// What was said in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Message and place of the first panic.
    pub fault: Option<String>,
    /// Why it cannot work as it is set up; the last word.
    pub misconfigured: Option<String>,
    /// Points that the sink discarded.
    pub rejected_points: u64,
    /// Why; the last word.
    pub rejected_reason: String,
}

/// Collects.
#[derive(Debug, Default)]
pub struct Report(Said);

impl Report {
    /// What was said since this was last asked.
    pub fn take(&mut self) -> Said {
        std::mem::take(&mut self.0)
    }
}

/// What a guest says, as people are shown it: one line of at most 4 KiB, without terminal commands.
pub fn sentence(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES));
    text.shrink_to_fit();
    if text.contains(char::is_control) {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        text = text.chars().map(plain).collect();
    }
    text
}

impl wit::Host for State {
    fn fault(&mut self, message: String) -> wasmtime::Result<()> {
        self.report.0.fault.get_or_insert_with(|| sentence(message));
        Ok(())
    }

    fn misconfigured(&mut self, reason: String) -> wasmtime::Result<()> {
        self.report.0.misconfigured = Some(sentence(reason));
        Ok(())
    }

    fn rejected_points(&mut self, points: u64, reason: String) -> wasmtime::Result<()> {
        let said = &mut self.report.0;
        said.rejected_points = said.rejected_points.saturating_add(points);
        said.rejected_reason = sentence(reason);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_is_one_short_line() {
        assert_eq!(sentence("panicked at a.rs:1:\nwhy \u{1b}[2J".into()), "panicked at a.rs:1: why  [2J");
        let cut = sentence("é".repeat(TEXT_BYTES));
        assert_eq!(cut.len(), TEXT_BYTES);
        assert!(cut.capacity() < 2 * TEXT_BYTES, "no room is kept for what was cut: {}", cut.capacity());
    }
}
