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
use crate::capability::{self, Granted, State};
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
    /// where that does no harm. `granted` tells what may be imported.
    pub fn load(engines: &Engines, cache: Option<&Cache>, bytes: &[u8], granted: Granted) -> Result<Self, String> {
        let (inspection, component) = inspect(bytes);
        let problems = inspection.problems.iter().cloned().chain(ungranted(&inspection, granted));
        let problems: Vec<_> = problems.collect();
        let Some(component) = component.filter(|_| problems.is_empty()) else {
            return Err(problems.join("; "));
        };
        let code = compiled(engines, cache, &component)?;
        let on_demand = prelink(&engines.on_demand, &code, granted)?;
        let pooled = engines.pooling.as_ref().and_then(|engine| match prelink(engine, &code, granted) {
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

/// What is imported and was not granted, one sentence for each grant that is missing.
fn ungranted(inspection: &Inspection, granted: Granted) -> impl Iterator<Item = String> {
    let wants = |state: bool| {
        let wanted = inspection.imports.iter().filter(|import| import.class == Class::Granted);
        wanted.map(|import| &import.name).find(|name| imports::is_state(name) == state)
    };
    let http = wants(false).filter(|_| !granted.http).map(|name| {
        format!(
            "it imports `{name}`, and no destination is granted; name those it may reach under `[grants]`, \
             for example http = [\"localhost:4318\"]"
        )
    });
    let state = wants(true).filter(|_| !granted.state).map(|name| {
        format!(
            "it imports `{name}`, and no state is granted; say how much it may keep under `[grants]`, \
             for example state = \"1MiB\""
        )
    });
    http.into_iter().chain(state)
}

fn compiled(engines: &Engines, cache: Option<&Cache>, component: &[u8]) -> Result<Code, String> {
    let compile =
        || Code::compile(&engines.on_demand, component).map_err(|error| format!("it does not compile: {error:#}"));
    match cache {
        Some(cache) => cache.get_or(component, compile),
        None => compile(),
    }
}

fn prelink(engine: &Engine, code: &Code, granted: Granted) -> Result<ReceiverPre<State>, String> {
    let mut linker = Linker::new(engine);
    let linked = capability::link(&mut linker, granted);
    let component = code.load(engine).map_err(|error| format!("its compiled code does not load: {error:#}"))?;
    linked
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(ReceiverPre::new)
        .map_err(|error| format!("it does not fit this host: {error:#}"))
}

#[cfg(test)]
mod tests;
