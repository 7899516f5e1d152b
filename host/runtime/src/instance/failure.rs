//! How an instance failed: one conversion from everything that can end a call.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::capability::report::GuestReport;
use crate::limits::{InstanceLimits, MAX_HANDLES};
use crate::meter::{GuestCallError, LimitCheck};
use barnabas_pipeline::dispatch::Fault;

/// wasmtime's message if a Store has no handle left; there is no error type for it.
const HANDLE_LIMIT_MESSAGE: &str = "store handle limit exceeded";
/// Maximum number of characters of a function's name.
const MAX_FUNCTION_CHARS: usize = 200;

/// The failure of an instance, by the guest or by the host.
#[derive(Debug)]
pub struct InstanceFailure {
    /// The kind of fault.
    pub fault: Fault,
    /// One sentence.
    pub message: String,
    /// What the guest had reported in that call.
    pub reported: GuestReport,
}

impl fmt::Display for InstanceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Converts the error of a call. `denied`: the guest was denied memory during the call.
pub(super) fn call_failure(
    halt: GuestCallError,
    denied: bool,
    limits: &InstanceLimits,
    said: GuestReport,
) -> InstanceFailure {
    let (fault, message) = match halt {
        GuestCallError::Deadline => (Fault::Deadline, LimitCheck::Deadline.to_string()),
        GuestCallError::Panic(words) => (Fault::Host, format!("the host panicked during the call: {words}")),
        GuestCallError::Error(error) => classify_error(&error, denied, limits, &said),
    };
    InstanceFailure { fault, message, reported: said }
}

fn classify_error(error: &Error, denied: bool, limits: &InstanceLimits, said: &GuestReport) -> (Fault, String) {
    if let Some(verdict) = error.downcast_ref::<LimitCheck>() {
        let fault = if *verdict == LimitCheck::CpuLimit { Fault::CpuLimit } else { Fault::Deadline };
        return (fault, verdict.to_string());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (Fault::Host, format!("the instance pool is exhausted: {error:#}"));
    }
    let message = match (&said.fault, &said.last_line) {
        // The message of the guest's panic hook says more than `unreachable`, and so does an exception that its
        // language runtime printed.
        (Some(words), _) => words.clone(),
        (None, Some(line)) => format!("{line} ({})", describe_error(error)),
        (None, None) => describe_error(error),
    };
    if denied {
        let message = format!("{message} (it was denied memory beyond its limit of {} bytes)", limits.memory);
        return (Fault::MemoryLimit, message);
    }
    (Fault::Trap, message)
}

/// The root cause, and the guest's function in which it happened.
fn describe_error(error: &Error) -> String {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it called exit({})", exit.0);
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None if error.is::<ResourceTableError>() || error.to_string().contains(HANDLE_LIMIT_MESSAGE) => {
            format!(
                "it held more than {MAX_HANDLES} handles at a time (requests, responses, bodies, streams, pollables)"
            )
        }
        None => barnabas_base::text::sentence(&error.root_cause().to_string()),
    };
    let within = error.downcast_ref::<WasmBacktrace>().and_then(|trace| {
        let named = trace.frames().iter().find_map(|frame| frame.func_name());
        named.map(demangled_name)
    });
    match within {
        Some(function) => format!("{reason}, in {function}"),
        None => reason,
    }
}

/// The demangled name of a function, without the hash that rustc appends.
fn demangled_name(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name)).chars().take(MAX_FUNCTION_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_are_demangled() {
        let mangled =
            "_ZN61_$LT$noreg..R$u20$as$u20$barnabas_sdk..receiver..Receiver$GT$14export_metrics17h0123456789abcdefE";
        assert_eq!(demangled_name(mangled), "<noreg::R as barnabas_sdk::receiver::Receiver>::export_metrics");
        assert_eq!(demangled_name("abort"), "abort");
        assert_eq!(demangled_name(&"f".repeat(1_000)).len(), MAX_FUNCTION_CHARS);
    }

    #[test]
    fn a_panic_message_wins_over_an_exception_on_standard_error() {
        let (error, limits) = (Error::from(Trap::UnreachableCodeReached), InstanceLimits::default());
        let of = |said: GuestReport| classify_error(&error, false, &limits, &said).1;
        let last_line = Some("KeyError: 'x'".to_owned());
        let trap = "wasm `unreachable` instruction executed";
        assert_eq!(
            of(GuestReport { last_line: last_line.clone(), ..GuestReport::default() }),
            format!("KeyError: 'x' ({trap})")
        );
        assert_eq!(of(GuestReport { fault: Some("why".into()), last_line, ..GuestReport::default() }), "why");
        assert_eq!(of(GuestReport::default()), trap);
    }
}
