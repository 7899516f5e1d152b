//! From a file's bytes to linked code: the depot, the compiler and the cache, joined.
//!
//! In: the bytes of artifacts, then their digests. Out: [`Examined`], then [`Compiled`], then [`Artifact`]; or the
//! [`Flaw`], with the stage in which it was found. Bounded by its three parts; one child at a time, so that what one may take is what all take. Never runs a guest.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::artifact::FlawStage;
use super::artifact::{Artifact, Inspection};
use super::cache::Cache;
use super::code::Code;
use super::compiler::{Compiler, Cut, Leash};
use super::depot::Depot;
use super::digest::Digest;
use super::engine::Engines;

pub use super::artifact::Flaw;

/// Handle on the three. Cheap to clone.
#[derive(Clone)]
pub struct Foundry(Arc<Inner>);

struct Inner {
    engines: Engines,
    depot: Depot,
    /// `None` compiles each time.
    cache: Option<Cache>,
    compiler: Compiler,
    turn: Arc<Semaphore>,
    guests: Handle,
}

/// An artifact that was read and found sound, and of which nothing was compiled for this.
pub struct Examined {
    /// What it is. There are no problems in it.
    pub inspection: Inspection,
    /// Where it was found compiled.
    code: Option<Arc<Code>>,
}

/// An artifact that was checked and compiled, and is not linked. Cheap to clone, but for the inspection.
#[derive(Clone)]
pub struct Compiled {
    /// What it is. There are no problems in it.
    pub inspection: Inspection,
    /// Whether it was found compiled.
    pub cached: bool,
    code: Arc<Code>,
}

impl Foundry {
    /// Opens depot and cache in the data directory, or keeps all in memory where there is none. What blocks will run on
    /// threads of `guests`, which are of lower priority, as compiling should be. One sentence where artifacts cannot
    /// be kept; code that cannot be kept is compiled at every start, and a warning says so.
    pub fn open(data_dir: Option<&Path>, compiler: Compiler, engines: Engines, guests: Handle) -> Result<Self, String> {
        let depot = data_dir.map_or_else(|| Ok(Depot::in_memory()), Depot::open)?;
        let cache = data_dir.and_then(|dir| open_cache(dir, &engines));
        let turn = Arc::new(Semaphore::new(1));
        Ok(Self(Arc::new(Inner { engines, depot, cache, compiler, turn, guests })))
    }

    /// Keeps an artifact; see [`Depot::keep`]. Blocks.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest, String> {
        self.0.depot.keep(bytes)
    }

    /// Whether an artifact is kept. Blocks for as long as a look at a directory takes.
    pub fn has(&self, digest: &Digest) -> bool {
        self.0.depot.has(digest)
    }

    /// Reads the artifact of that digest and judges it by the contract; nothing is compiled. Dropping the future ends it.
    pub async fn examined(&self, digest: Digest) -> Result<Examined, Flaw> {
        if let Some(Compiled { inspection, code, .. }) = self.blocking(move |inner| Ok(inner.cached(&digest))).await? {
            return Ok(Examined { inspection, code: Some(code) });
        }
        let inspection = self.in_turn(move |inner, leash| inner.examine(&digest, leash)).await?;
        Ok(Examined { inspection, code: None })
    }

    /// What was examined, found compiled or compiled now. Dropping the future ends the compile.
    pub async fn compiled(&self, examined: Examined) -> Result<Compiled, Flaw> {
        let Examined { inspection, code } = examined;
        if let Some(code) = code {
            return Ok(Compiled { inspection, cached: true, code });
        }
        self.in_turn(move |inner, leash| inner.compile(&inspection.digest, leash)).await
    }

    /// Links what is compiled. Blocks for milliseconds.
    pub fn link(&self, compiled: &Compiled) -> Result<Artifact, Flaw> {
        Artifact::link(&self.0.engines, compiled.inspection.clone(), &compiled.code)
    }

    /// Removes artifacts that are not wanted; see [`Depot::prune`]. The code of those that are counts as just used.
    /// Blocks.
    pub fn prune(&self, wanted: &BTreeSet<Digest>) {
        self.0.depot.prune(wanted);
        if let Some(cache) = &self.0.cache {
            wanted.iter().for_each(|digest| cache.touch(digest));
        }
    }

    /// What a child does. The turn is given back when the child is gone, not when nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Leash) -> Result<T, Flaw> + Send + 'static,
    ) -> Result<T, Flaw> {
        let turn = self.0.turn.clone().acquire_owned().await.expect("the semaphore is never closed");
        let leash = Arc::new(Leash::default());
        let _cut_when_dropped = Held(leash.clone());
        self.blocking(move |inner| {
            let done = work(inner, &leash);
            drop(turn);
            done
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Flaw> + Send + 'static,
    ) -> Result<T, Flaw> {
        let inner = self.0.clone();
        let done = self.0.guests.spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| Err(Flaw::new(FlawStage::Compile, "the host broke while it compiled this")))
    }
}

impl Inner {
    fn cached(&self, digest: &Digest) -> Option<Compiled> {
        let (inspection, code) = self.cache.as_ref()?.get(digest)?;
        Some(Compiled { inspection, cached: true, code: Arc::new(code) })
    }

    fn examine(&self, digest: &Digest, leash: &Leash) -> Result<Inspection, Flaw> {
        self.compiler.examine(&self.engines, &self.bytes(digest)?, leash)
    }

    fn compile(&self, digest: &Digest, leash: &Leash) -> Result<Compiled, Flaw> {
        // Whose turn it was before may have made the same.
        if let Some(found) = self.cached(digest) {
            return Ok(found);
        }
        let (inspection, code) = self.compiler.compile(&self.engines, &self.bytes(digest)?, leash)?;
        if let Some(cache) = &self.cache {
            cache.put(&inspection, &code);
        }
        Ok(Compiled { inspection, cached: false, code: Arc::new(code) })
    }

    /// Of a kept artifact.
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, Flaw> {
        let fetch = |reason: String| Flaw::new(FlawStage::Fetch, reason);
        let bytes = self.depot.get(digest).map_err(fetch)?;
        bytes.ok_or_else(|| fetch(format!("no artifact {digest} is kept here; hand it over again")))
    }
}

/// Ends the compile with who waits for it.
struct Held(Arc<Leash>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.cut(Cut::Cancelled);
    }
}

fn open_cache(data_dir: &Path, engines: &Engines) -> Option<Cache> {
    Cache::open(data_dir, engines.fingerprint())
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
