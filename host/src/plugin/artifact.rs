//! Artifacts: bytes → checked → compiled → pre-linked.
//!
//! In: the bytes of a component, or of a core module that carries its WIT metadata. Out: an [`Inspection`], which says
//! in words what is wrong; and where nothing is, an [`Artifact`] whose instances start in microseconds. Bounded by
//! [`MAX_BYTES`]. Runs no guest code.

mod contract;
mod error;
mod imports;
mod inspect;
mod wrapping;

use std::borrow::Cow;
use std::io::Read as _;
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::compiled_code::CompiledCode;
use super::engine::Engines;
use crate::capability::{self, HostState};
use crate::contract::wit::ReceiverPre;

pub use error::{ArtifactError, ArtifactStage};
pub use imports::ImportClass;
pub use inspect::{ArtifactImport, Inspection, inspect};
pub use wrapping::ArtifactKind;

/// Most bytes of an artifact. An interpreter with its libraries has about 40 MiB.
pub const MAX_ARTIFACT_BYTES: usize = 128 << 20;

/// Compiled and linked; instances are made from it. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    /// What it is.
    pub inspection: Inspection,
    /// `None` where there is no pool, or the component is too large for it.
    pub(super) pooled: Option<ReceiverPre<HostState>>,
    pub(super) on_demand: ReceiverPre<HostState>,
}

impl Artifact {
    /// Checks, compiles and links in this process, which nothing bounds: for a command that its user can end, and for
    /// tests. A host goes by way of its [`Foundry`](super::foundry::Foundry).
    pub fn from_bytes(engines: &Engines, bytes: &[u8]) -> Result<Self, String> {
        let (inspection, code) = examine_and_compile(&engines.on_demand, bytes);
        let linked = code.and_then(|code| Self::link(engines, inspection, &code));
        linked.map_err(|flaw| flaw.reason)
    }

    /// Links what is compiled. Takes milliseconds.
    pub(super) fn link(engines: &Engines, inspection: Inspection, code: &CompiledCode) -> Result<Self, ArtifactError> {
        let on_demand = prelink(&engines.on_demand, code)?;
        let pooled = engines.pooling.as_ref().and_then(|engine| match prelink(engine, code) {
            Ok(pre) => Some(pre),
            Err(error) => {
                tracing::info!("{}: its instances are made without the pool: {error}", inspection.digest);
                None
            }
        });
        Ok(Self { inspection, pooled, on_demand })
    }
}

/// Reads it and judges it by the contract, without compiling it. The component is given only where it is sound.
pub(super) fn examine(bytes: &[u8]) -> (Inspection, Result<Cow<'_, [u8]>, ArtifactError>) {
    let (inspection, component) = inspect(bytes);
    let sound = component.filter(|_| inspection.problems.is_empty());
    let sound = sound.ok_or_else(|| ArtifactError::new(ArtifactStage::Contract, inspection.problems.join("; ")));
    (inspection, sound)
}

/// Examines and compiles, on this thread and helpers of its own. Takes long and much CPU.
pub(super) fn examine_and_compile(engine: &Engine, bytes: &[u8]) -> (Inspection, Result<CompiledCode, ArtifactError>) {
    let (inspection, component) = examine(bytes);
    let code = component.and_then(|component| {
        CompiledCode::compile(engine, &component)
            .map_err(|error| ArtifactError::new(ArtifactStage::Compile, format!("it does not compile: {error:#}")))
    });
    (inspection, code)
}

/// Reads a file that may be an artifact.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let meta = std::fs::metadata(path).map_err(fail)?;
    if !meta.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_ARTIFACT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(fail)?;
    if bytes.len() > MAX_ARTIFACT_BYTES {
        return Err(format!("{} has {} bytes; an artifact may have {MAX_ARTIFACT_BYTES}", path.display(), meta.len()));
    }
    Ok(bytes)
}

fn prelink(engine: &Engine, code: &CompiledCode) -> Result<ReceiverPre<HostState>, ArtifactError> {
    let mut linker = Linker::new(engine);
    let linked = capability::link(&mut linker);
    let unusable =
        |error| ArtifactError::new(ArtifactStage::Compile, format!("its compiled code does not load: {error:#}"));
    let component = code.load(engine).map_err(unusable)?;
    linked
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(ReceiverPre::new)
        .map_err(|error| ArtifactError::new(ArtifactStage::Contract, format!("it does not fit this host: {error:#}")))
}

#[cfg(test)]
mod tests;
