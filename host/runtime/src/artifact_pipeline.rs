//! From an artifact's bytes to linked code: combines the artifact store, the compiler and the code cache.
//!
//! In: the bytes of artifacts, then their digests. Out: [`ExaminedArtifact`], then [`CompiledArtifact`], then
//! [`Artifact`]; or an [`ArtifactError`], with the stage in which it was found. Bounded by its three parts; only one
//! child runs at a time, so that the limits of one child bound all. Never runs a guest.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::artifact::ArtifactStage;
use super::artifact::{Artifact, Inspection};
use super::artifact_store::ArtifactStore;
use super::code_cache::CodeCache;
use super::compiled_code::CompiledCode;
use super::compiler::{ChildGuard, Compiler, KillReason};
use super::engine::Engines;
use barnabas_base::digest::Digest;

pub use super::artifact::ArtifactError;

/// A handle to artifact store, compiler and code cache. Cheap to clone.
#[derive(Clone)]
pub struct ArtifactPipeline(Arc<PipelineInner>);

struct PipelineInner {
    engines: Engines,
    store: ArtifactStore,
    /// If `None`, artifacts are compiled each time.
    cache: Option<CodeCache>,
    compiler: Compiler,
    permit: Arc<Semaphore>,
    guests: Handle,
}

/// An artifact that was examined without problems. It is not necessarily compiled yet.
pub struct ExaminedArtifact {
    /// The inspection, which has no problems.
    pub inspection: Inspection,
    /// The code, if it was found in the cache.
    code: Option<Arc<CompiledCode>>,
}

/// An artifact that was examined and compiled, but not linked. Cheap to clone, except for the inspection.
#[derive(Clone)]
pub struct CompiledArtifact {
    /// The inspection, which has no problems.
    pub inspection: Inspection,
    /// Whether the code came from the cache.
    pub cached: bool,
    code: Arc<CompiledCode>,
}

impl ArtifactPipeline {
    /// Opens artifact store and code cache in the data directory, or keeps artifacts in memory without one. Blocking
    /// work runs on threads of the `guests` runtime, whose low priority suits compiling. Fails, with one sentence, if
    /// artifacts cannot be stored; if code cannot be cached, a warning is logged and every start compiles.
    pub fn open(data_dir: Option<&Path>, compiler: Compiler, engines: Engines, guests: Handle) -> Result<Self, String> {
        let store = data_dir.map_or_else(|| Ok(ArtifactStore::in_memory()), ArtifactStore::open)?;
        let cache = data_dir.and_then(|dir| open_cache(dir, &engines));
        let turn = Arc::new(Semaphore::new(1));
        Ok(Self(Arc::new(PipelineInner { engines, store, cache, compiler, permit: turn, guests })))
    }

    /// Stores an artifact; see [`ArtifactStore::put`]. Blocks.
    pub fn store(&self, bytes: &[u8]) -> Result<Digest, String> {
        self.0.store.put(bytes)
    }

    /// Whether an artifact is stored. Blocks for one file system lookup.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.0.store.contains(digest)
    }

    /// Examines the artifact of this digest against the contract, without compiling it. Dropping the future cancels it.
    pub async fn examine(&self, digest: Digest) -> Result<ExaminedArtifact, ArtifactError> {
        if let Some(CompiledArtifact { inspection, code, .. }) =
            self.run_blocking(move |inner| Ok(inner.find_compiled(&digest))).await?
        {
            return Ok(ExaminedArtifact { inspection, code: Some(code) });
        }
        let inspection = self.run_exclusively(move |inner, guard| inner.examine(&digest, guard)).await?;
        Ok(ExaminedArtifact { inspection, code: None })
    }

    /// Returns the code of an examined artifact, from the cache or compiled now. Dropping the future cancels it.
    pub async fn compile(&self, examined: ExaminedArtifact) -> Result<CompiledArtifact, ArtifactError> {
        let ExaminedArtifact { inspection, code } = examined;
        if let Some(code) = code {
            return Ok(CompiledArtifact { inspection, cached: true, code });
        }
        self.run_exclusively(move |inner, guard| inner.compile(&inspection.digest, guard)).await
    }

    /// Links compiled code. Blocks for milliseconds.
    pub fn link(&self, compiled: &CompiledArtifact) -> Result<Artifact, ArtifactError> {
        Artifact::link(&self.0.engines, compiled.inspection.clone(), &compiled.code)
    }

    /// Removes artifacts that are not in `wanted`; see [`ArtifactStore::prune`]. The code of the others is marked as
    /// used. Blocks.
    pub fn prune(&self, wanted: &BTreeSet<Digest>) {
        self.0.store.prune(wanted);
        if let Some(cache) = &self.0.cache {
            wanted.iter().for_each(|digest| cache.mark_used(digest));
        }
    }

    /// Runs one child at a time. The permit is released when the child is gone, not when its caller is.
    async fn run_exclusively<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PipelineInner, &ChildGuard) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let turn = self.0.permit.clone().acquire_owned().await.expect("the semaphore is never closed");
        let guard = Arc::new(ChildGuard::default());
        let _kill_on_drop = KillOnDrop(guard.clone());
        self.run_blocking(move |inner| {
            let done = work(inner, &guard);
            drop(turn);
            done
        })
        .await
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PipelineInner) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let inner = self.0.clone();
        let done = self.0.guests.spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| {
            Err(ArtifactError::new(
                ArtifactStage::Compile,
                "internal error: the compiling task panicked; see the host's log",
            ))
        })
    }
}

impl PipelineInner {
    fn find_compiled(&self, digest: &Digest) -> Option<CompiledArtifact> {
        let (inspection, code) = self.cache.as_ref()?.get(digest)?;
        Some(CompiledArtifact { inspection, cached: true, code: Arc::new(code) })
    }

    fn examine(&self, digest: &Digest, guard: &ChildGuard) -> Result<Inspection, ArtifactError> {
        self.compiler.examine(&self.engines, &self.stored_bytes(digest)?, guard)
    }

    fn compile(&self, digest: &Digest, guard: &ChildGuard) -> Result<CompiledArtifact, ArtifactError> {
        // The previous holder of the permit may have compiled the same artifact.
        if let Some(found) = self.find_compiled(digest) {
            return Ok(found);
        }
        let (inspection, code) = self.compiler.compile(&self.engines, &self.stored_bytes(digest)?, guard)?;
        if let Some(cache) = &self.cache {
            cache.put(&inspection, &code);
        }
        Ok(CompiledArtifact { inspection, cached: false, code: Arc::new(code) })
    }

    /// Returns the bytes of a stored artifact.
    fn stored_bytes(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        let fetch = |reason: String| ArtifactError::new(ArtifactStage::Fetch, reason);
        let bytes = self.store.get(digest).map_err(fetch)?;
        bytes.ok_or_else(|| fetch(format!("the artifact {digest} is not in the store; upload it again")))
    }
}

/// Kills the compiler child when its caller is dropped.
struct KillOnDrop(Arc<ChildGuard>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill(KillReason::Cancelled);
    }
}

fn open_cache(data_dir: &Path, engines: &Engines) -> Option<CodeCache> {
    CodeCache::open(data_dir, engines.fingerprint())
        .inspect_err(|error| {
            tracing::warn!(
                "cannot cache compiled code, so every start compiles: {}: {error}; make `code` in it a directory \
                 that this user can write to, and `host.key` a file that only this user can read",
                data_dir.display()
            );
        })
        .ok()
}

#[cfg(test)]
mod tests;
