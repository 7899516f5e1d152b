//! How an instance broke: one conversion from everything that can end a call.

use std::fmt;

use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::capability::report::Said;
use crate::dispatch::Fault;
use crate::plugin::limits::{HANDLES, Limiter, Limits};
use crate::plugin::meter::{Halt, Verdict};

/// How wasmtime says that a Store has no handle left; it has no type for it.
const NO_HANDLE: &str = "store handle limit exceeded";

/// The guest broke, or we did.
#[derive(Debug)]
pub struct Broken {
    /// Whose doing.
    pub fault: Fault,
    /// One sentence.
    pub message: String,
    /// What the guest had said in that call.
    pub said: Said,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Of a call that was not finished. `denied`: memory was refused during it.
pub(super) fn of_call(halt: Halt, denied: bool, limits: &Limits, said: Said) -> Broken {
    let (fault, message) = match halt {
        Halt::Deadline => (Fault::Deadline, Verdict::Deadline.to_string()),
        Halt::Panic(words) => (Fault::Host, format!("the host panicked beneath it: {words}")),
        Halt::Error(error) => of_error(&error, denied, limits, &said),
    };
    Broken { fault, message, said }
}

/// Of an instance that was not made.
pub(super) fn of_start(halt: Halt, limiter: &Limiter, limits: &Limits) -> Broken {
    let denied = limiter.clone().take_denied();
    of_call(halt, denied, limits, Said::default())
}

fn of_error(error: &Error, denied: bool, limits: &Limits, said: &Said) -> (Fault, String) {
    if let Some(verdict) = error.downcast_ref::<Verdict>() {
        let fault = if *verdict == Verdict::CpuLimit { Fault::CpuLimit } else { Fault::Deadline };
        return (fault, verdict.to_string());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (Fault::Host, format!("no room for another instance: {error:#}"));
    }
    let message = match &said.fault {
        // What the guest's own panic hook said tells more than `unreachable`.
        Some(words) => words.clone(),
        None => words(error),
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
        named.map(|name| format!("{name:.200}"))
    });
    match within {
        Some(function) => format!("{reason}, in {function}"),
        None => reason,
    }
}
