//! Artifacts: bytes → checked → compiled → pre-linked.
//!
//! In: the bytes of a component, or of a core module that carries its WIT metadata. Out: an [`Inspection`], which says
//! in words what is wrong; and where nothing is, an [`Artifact`] whose instances start in microseconds. Bounded by
//! [`MAX_BYTES`]. Runs no guest code.

mod component;
mod contract;
mod imports;
mod inspect;

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::cache::{Cache, Code};
use super::engine::Engines;
use crate::capability::{self, State};
use crate::contract::wit::ReceiverPre;

pub use component::Kind;
pub use imports::Class;
pub use inspect::{Import, Inspection, inspect};

/// Most bytes of an artifact. An interpreter with its libraries has about 40 MiB.
pub const MAX_BYTES: usize = 128 << 20;

/// Compiled and linked; instances are made from it. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    /// What it is.
    pub inspection: Inspection,
    /// `None` where there is no pool, or the component is too large for it.
    pub(super) pooled: Option<ReceiverPre<State>>,
    pub(super) on_demand: ReceiverPre<State>,
}

impl Artifact {
    /// Checks, compiles (or finds it compiled) and links. Takes long and much CPU where it has to compile, so call it
    /// where that does no harm. `http` tells whether destinations are granted.
    pub fn load(engines: &Engines, cache: Option<&Cache>, bytes: &[u8], http: bool) -> Result<Self, String> {
        let (inspection, component) = inspect(bytes);
        let problems = inspection.problems.iter().cloned().chain(ungranted(&inspection, http));
        let problems: Vec<_> = problems.collect();
        let Some(component) = component.filter(|_| problems.is_empty()) else {
            return Err(problems.join("; "));
        };
        let code = compiled(engines, cache, &component)?;
        let on_demand = prelink(&engines.on_demand, &code, http)?;
        let pooled = engines.pooling.as_ref().and_then(|engine| match prelink(engine, &code, http) {
            Ok(pre) => Some(pre),
            Err(error) => {
                tracing::info!("{}: its instances are made without the pool: {error}", inspection.digest);
                None
            }
        });
        Ok(Self { inspection, pooled, on_demand })
    }
}

/// Reads a file that may be an artifact.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MAX_BYTES as u64 {
        return Err(format!("{} has {size} bytes; an artifact may have {MAX_BYTES}", path.display()));
    }
    std::fs::read(path).map_err(fail)
}

fn ungranted(inspection: &Inspection, http: bool) -> Option<String> {
    let import = inspection.imports.iter().find(|import| import.class == Class::Granted && !http)?;
    Some(format!(
        "it imports `{}`, and no destination is granted; name those it may reach under `[grants]`, \
         for example http = [\"localhost:4318\"]",
        import.name
    ))
}

fn compiled(engines: &Engines, cache: Option<&Cache>, component: &[u8]) -> Result<Code, String> {
    let compile =
        || Code::compile(&engines.on_demand, component).map_err(|error| format!("it does not compile: {error:#}"));
    match cache {
        Some(cache) => cache.get_or(component, compile),
        None => compile(),
    }
}

fn prelink(engine: &Engine, code: &Code, http: bool) -> Result<ReceiverPre<State>, String> {
    let mut linker = Linker::new(engine);
    let linked = capability::link(&mut linker, http);
    let component = code.load(engine).map_err(|error| format!("its compiled code does not load: {error:#}"))?;
    linked
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(ReceiverPre::new)
        .map_err(|error| format!("it does not fit this host: {error:#}"))
}

#[cfg(test)]
mod tests;
