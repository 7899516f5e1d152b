//! How an instance broke: one conversion from everything that can end a call.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::capability::report::GuestReport;
use crate::dispatch::Fault;
use crate::plugin::limits::{HANDLES, Limits};
use crate::plugin::meter::{Halt, Verdict};

/// How wasmtime says that a Store has no handle left; it has no type for it.
const NO_HANDLE: &str = "store handle limit exceeded";
/// Most characters of a function's name.
const FUNCTION: usize = 200;

/// The guest broke, or we did.
#[derive(Debug)]
pub struct Broken {
    /// Whose doing.
    pub fault: Fault,
    /// One sentence.
    pub message: String,
    /// What the guest had said in that call.
    pub said: GuestReport,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Of a call that was not finished. `denied`: memory was refused during it.
pub(super) fn of_call(halt: Halt, denied: bool, limits: &Limits, said: GuestReport) -> Broken {
    let (fault, message) = match halt {
        Halt::Deadline => (Fault::Deadline, Verdict::Deadline.to_string()),
        Halt::Panic(words) => (Fault::Host, format!("the host panicked beneath it: {words}")),
        Halt::Error(error) => of_error(&error, denied, limits, &said),
    };
    Broken { fault, message, said }
}

fn of_error(error: &Error, denied: bool, limits: &Limits, said: &GuestReport) -> (Fault, String) {
    if let Some(verdict) = error.downcast_ref::<Verdict>() {
        let fault = if *verdict == Verdict::CpuLimit { Fault::CpuLimit } else { Fault::Deadline };
        return (fault, verdict.to_string());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (Fault::Host, format!("no room for another instance: {error:#}"));
    }
    let message = match (&said.fault, &said.last_line) {
        // What the guest's own panic hook said tells more than `unreachable`, and so does an exception that its runtime
        // wrote down.
        (Some(words), _) => words.clone(),
        (None, Some(line)) => format!("{line} ({})", words(error)),
        (None, None) => words(error),
    };
    if denied {
        let message = format!("{message} (it was refused memory beyond its limit of {} bytes)", limits.memory);
        return (Fault::MemoryLimit, message);
    }
    (Fault::Trap, message)
}

/// The innermost reason, and the guest's function it happened in.
fn words(error: &Error) -> String {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it called exit({})", exit.0);
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None if error.is::<ResourceTableError>() || error.to_string().contains(NO_HANDLE) => {
            format!("it held more than {HANDLES} handles at once (requests, answers, bodies, streams, pollables)")
        }
        None => crate::text::sentence(&error.root_cause().to_string()),
    };
    let within = error.downcast_ref::<WasmBacktrace>().and_then(|trace| {
        let named = trace.frames().iter().find_map(|frame| frame.func_name());
        named.map(function)
    });
    match within {
        Some(function) => format!("{reason}, in {function}"),
        None => reason,
    }
}

/// A function's name as its author wrote it, without the hash that a compiler appends.
fn function(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name)).chars().take(FUNCTION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_the_names_that_their_authors_wrote() {
        let mangled =
            "_ZN61_$LT$noreg..R$u20$as$u20$barnabas_sdk..receiver..Receiver$GT$14export_metrics17h0123456789abcdefE";
        assert_eq!(function(mangled), "<noreg::R as barnabas_sdk::receiver::Receiver>::export_metrics");
        assert_eq!(function("abort"), "abort");
        assert_eq!(function(&"f".repeat(1_000)).len(), FUNCTION);
    }

    #[test]
    fn an_exception_on_standard_error_is_the_reason_and_a_panic_hook_knows_better() {
        let (error, limits) = (Error::from(Trap::UnreachableCodeReached), Limits::default());
        let of = |said: GuestReport| of_error(&error, false, &limits, &said).1;
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
