//! From a file's bytes to linked code: the depot, the compiler and the cache, joined.
//!
//! In: the bytes of artifacts, then their digests. Out: [`Examined`], then [`Compiled`], then [`Artifact`]; or the
//! [`Flaw`], with the stage in which it was found. Bounded by its three parts; one child at a time, so that what one may take is what all take. Never runs a guest.

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
use super::digest::Digest;
use super::engine::Engines;

pub use super::artifact::ArtifactError;

/// Handle on the three. Cheap to clone.
#[derive(Clone)]
pub struct ArtifactPipeline(Arc<PipelineInner>);

struct PipelineInner {
    engines: Engines,
    store: ArtifactStore,
    /// `None` compiles each time.
    cache: Option<CodeCache>,
    compiler: Compiler,
    permit: Arc<Semaphore>,
    guests: Handle,
}

/// An artifact that was read and found sound, and of which nothing was compiled for this.
pub struct ExaminedArtifact {
    /// What it is. There are no problems in it.
    pub inspection: Inspection,
    /// Where it was found compiled.
    code: Option<Arc<CompiledCode>>,
}

/// An artifact that was checked and compiled, and is not linked. Cheap to clone, but for the inspection.
#[derive(Clone)]
pub struct CompiledArtifact {
    /// What it is. There are no problems in it.
    pub inspection: Inspection,
    /// Whether it was found compiled.
    pub cached: bool,
    code: Arc<CompiledCode>,
}

impl ArtifactPipeline {
    /// Opens depot and cache in the data directory, or keeps all in memory where there is none. What blocks will run on
    /// threads of `guests`, which are of lower priority, as compiling should be. One sentence where artifacts cannot
    /// be kept; code that cannot be kept is compiled at every start, and a warning says so.
    pub fn open(data_dir: Option<&Path>, compiler: Compiler, engines: Engines, guests: Handle) -> Result<Self, String> {
        let depot = data_dir.map_or_else(|| Ok(ArtifactStore::in_memory()), ArtifactStore::open)?;
        let cache = data_dir.and_then(|dir| open_cache(dir, &engines));
        let turn = Arc::new(Semaphore::new(1));
        Ok(Self(Arc::new(PipelineInner { engines, store: depot, cache, compiler, permit: turn, guests })))
    }

    /// Keeps an artifact; see [`Depot::keep`]. Blocks.
    pub fn store(&self, bytes: &[u8]) -> Result<Digest, String> {
        self.0.store.put(bytes)
    }

    /// Whether an artifact is kept. Blocks for as long as a look at a directory takes.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.0.store.contains(digest)
    }

    /// Reads the artifact of that digest and judges it by the contract; nothing is compiled. Dropping the future ends it.
    pub async fn examine(&self, digest: Digest) -> Result<ExaminedArtifact, ArtifactError> {
        if let Some(CompiledArtifact { inspection, code, .. }) =
            self.run_blocking(move |inner| Ok(inner.find_compiled(&digest))).await?
        {
            return Ok(ExaminedArtifact { inspection, code: Some(code) });
        }
        let inspection = self.run_exclusively(move |inner, leash| inner.examine(&digest, leash)).await?;
        Ok(ExaminedArtifact { inspection, code: None })
    }

    /// What was examined, found compiled or compiled now. Dropping the future ends the compile.
    pub async fn compile(&self, examined: ExaminedArtifact) -> Result<CompiledArtifact, ArtifactError> {
        let ExaminedArtifact { inspection, code } = examined;
        if let Some(code) = code {
            return Ok(CompiledArtifact { inspection, cached: true, code });
        }
        self.run_exclusively(move |inner, leash| inner.compile(&inspection.digest, leash)).await
    }

    /// Links what is compiled. Blocks for milliseconds.
    pub fn link(&self, compiled: &CompiledArtifact) -> Result<Artifact, ArtifactError> {
        Artifact::link(&self.0.engines, compiled.inspection.clone(), &compiled.code)
    }

    /// Removes artifacts that are not wanted; see [`Depot::prune`]. The code of those that are counts as just used.
    /// Blocks.
    pub fn prune(&self, wanted: &BTreeSet<Digest>) {
        self.0.store.prune(wanted);
        if let Some(cache) = &self.0.cache {
            wanted.iter().for_each(|digest| cache.mark_used(digest));
        }
    }

    /// What a child does. The turn is given back when the child is gone, not when nobody waits for it any more.
    async fn run_exclusively<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PipelineInner, &ChildGuard) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let turn = self.0.permit.clone().acquire_owned().await.expect("the semaphore is never closed");
        let leash = Arc::new(ChildGuard::default());
        let _kill_on_drop = KillOnDrop(leash.clone());
        self.run_blocking(move |inner| {
            let done = work(inner, &leash);
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
            Err(ArtifactError::new(ArtifactStage::Compile, "the host broke while it compiled this"))
        })
    }
}

impl PipelineInner {
    fn find_compiled(&self, digest: &Digest) -> Option<CompiledArtifact> {
        let (inspection, code) = self.cache.as_ref()?.get(digest)?;
        Some(CompiledArtifact { inspection, cached: true, code: Arc::new(code) })
    }

    fn examine(&self, digest: &Digest, leash: &ChildGuard) -> Result<Inspection, ArtifactError> {
        self.compiler.examine(&self.engines, &self.stored_bytes(digest)?, leash)
    }

    fn compile(&self, digest: &Digest, leash: &ChildGuard) -> Result<CompiledArtifact, ArtifactError> {
        // Whose turn it was before may have made the same.
        if let Some(found) = self.find_compiled(digest) {
            return Ok(found);
        }
        let (inspection, code) = self.compiler.compile(&self.engines, &self.stored_bytes(digest)?, leash)?;
        if let Some(cache) = &self.cache {
            cache.put(&inspection, &code);
        }
        Ok(CompiledArtifact { inspection, cached: false, code: Arc::new(code) })
    }

    /// Of a kept artifact.
    fn stored_bytes(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        let fetch = |reason: String| ArtifactError::new(ArtifactStage::Fetch, reason);
        let bytes = self.store.get(digest).map_err(fetch)?;
        bytes.ok_or_else(|| fetch(format!("no artifact {digest} is kept here; hand it over again")))
    }
}

/// Ends the compile with who waits for it.
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
                "compiled code is not kept, so every start compiles: {}: {error}; make `code` in it a directory that \
                 this user can write to, and `host.key` a file that only this user can read",
                data_dir.display()
            );
        })
        .ok()
}

#[cfg(test)]
mod tests;
