//! Artifacts: bytes → checked → compiled → pre-linked.
//!
//! In: the bytes of a component, or of a core module with WIT metadata. Out: an [`Inspection`], which lists what is
//! wrong with it; and if nothing is wrong, an [`Artifact`] whose instances start in microseconds. Bounded by
//! [`MAX_ARTIFACT_BYTES`]. Runs no guest code.

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

/// Maximum size of an artifact in bytes. An interpreter with its libraries has about 40 MiB.
pub const MAX_ARTIFACT_BYTES: usize = 128 << 20;

/// A compiled and pre-linked receiver, from which instances are created. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    /// What was found when the artifact was examined.
    pub inspection: Inspection,
    /// `None` if there is no pooling engine, or the component does not fit into its pool.
    pub(super) pooled: Option<ReceiverPre<HostState>>,
    pub(super) on_demand: ReceiverPre<HostState>,
}

impl Artifact {
    /// Checks, compiles and links in this process, without any limit: for a command that its user can interrupt, and
    /// for tests. A host uses its [`ArtifactPipeline`](super::artifact_pipeline::ArtifactPipeline).
    pub fn from_bytes(engines: &Engines, bytes: &[u8]) -> Result<Self, String> {
        let (inspection, code) = examine_and_compile(&engines.on_demand, bytes);
        let linked = code.and_then(|code| Self::link(engines, inspection, &code));
        linked.map_err(|flaw| flaw.reason)
    }

    /// Links compiled code. Takes milliseconds.
    pub(super) fn link(engines: &Engines, inspection: Inspection, code: &CompiledCode) -> Result<Self, ArtifactError> {
        let on_demand = prelink(&engines.on_demand, code)?;
        let pooled = engines.pooling.as_ref().and_then(|engine| match prelink(engine, code) {
            Ok(pre) => Some(pre),
            Err(error) => {
                tracing::info!(
                    "{}: its instances are allocated on demand, since the pool cannot hold them: {error}",
                    inspection.digest
                );
                None
            }
        });
        Ok(Self { inspection, pooled, on_demand })
    }
}

/// Reads an artifact and checks it against the contract, without compiling it. The component is returned only if there
/// are no problems.
pub(super) fn examine(bytes: &[u8]) -> (Inspection, Result<Cow<'_, [u8]>, ArtifactError>) {
    let (inspection, component) = inspect(bytes);
    let sound = component.filter(|_| inspection.problems.is_empty());
    let sound = sound.ok_or_else(|| ArtifactError::new(ArtifactStage::Contract, inspection.problems.join("; ")));
    (inspection, sound)
}

/// Examines and compiles on this thread and rayon's threads. Takes much time and CPU.
pub(super) fn examine_and_compile(engine: &Engine, bytes: &[u8]) -> (Inspection, Result<CompiledCode, ArtifactError>) {
    let (inspection, component) = examine(bytes);
    let code = component.and_then(|component| {
        CompiledCode::compile(engine, &component)
            .map_err(|error| ArtifactError::new(ArtifactStage::Compile, format!("it does not compile: {error:#}")))
    });
    (inspection, code)
}

/// Reads an artifact file, up to the maximum size.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let meta = std::fs::metadata(path).map_err(fail)?;
    if !meta.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_ARTIFACT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(fail)?;
    if bytes.len() > MAX_ARTIFACT_BYTES {
        return Err(format!(
            "{} has {} bytes; the limit for an artifact is {MAX_ARTIFACT_BYTES}",
            path.display(),
            meta.len()
        ));
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
