//! Reads the directory of manifests, completely each time.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::PluginsInner;
use super::record::GenerationIdentity;
use crate::manifest;
use crate::manifest::Manifest;
use barnabas_base::digest::Digest;
use barnabas_runtime::artifact;

/// One manifest file.
#[derive(Clone, Debug)]
pub(super) struct FoundManifest {
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    /// The manifest, or an error of one sentence.
    pub(super) manifest: Result<Manifest, String>,
}

/// Cached digests of files that have not changed.
#[derive(Debug, Default)]
pub(super) struct DigestCache(Mutex<BTreeMap<PathBuf, (ArtifactFileStamp, Digest)>>);

/// File metadata that changes with the contents, both in place and by rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ArtifactFileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl ArtifactFileStamp {
    fn from_metadata(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), size: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

impl PluginsInner {
    /// Reads every manifest, by name.
    pub(super) async fn read_manifests(&self) -> Result<Vec<FoundManifest>, String> {
        let dir = self.dir.clone();
        let found = self.run_blocking(move || read(&dir)).await?;
        found.map_err(|error| format!("{}: the plugins' directory cannot be read: {error}", self.dir.display()))
    }

    /// Reads one manifest. `None` if there is no such file.
    pub(super) async fn read_manifest(&self, name: &Arc<str>) -> Option<FoundManifest> {
        self.read_manifests().await.ok()?.into_iter().find(|found| found.name == *name)
    }

    /// Determines the generation that a manifest asks for.
    pub(super) async fn identity(self: &Arc<Self>, manifest: &Manifest) -> Result<GenerationIdentity, String> {
        let meaning = manifest.fingerprint;
        if let Some(artifact) = manifest.digest {
            return Ok(GenerationIdentity { artifact, meaning });
        }
        let Some(path) = manifest.artifact.clone() else {
            return Err("`artifact` is missing; name the receiver's file".into());
        };
        let inner = self.clone();
        let artifact = self.run_blocking(move || inner.digests.digest(&path)).await.and_then(|digest| digest);
        Ok(GenerationIdentity { artifact: artifact.map_err(|problem| format!("`artifact`: {problem}"))?, meaning })
    }
}

impl DigestCache {
    fn digest(&self, path: &Path) -> Result<Digest, String> {
        let stamp = std::fs::metadata(path).map(|meta| ArtifactFileStamp::from_metadata(&meta));
        let stamp = stamp.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let known = self.with(|seen| seen.get(path).filter(|(known, _)| *known == stamp).map(|(_, digest)| *digest));
        if let Some(digest) = known {
            return Ok(digest);
        }
        let digest = Digest::compute(&artifact::read(path)?);
        self.with(|seen| {
            // Bounds the cache; there are few artifact files at any time.
            if seen.len() > 1_024 {
                seen.clear();
            }
            seen.insert(path.to_owned(), (stamp, digest))
        });
        Ok(digest)
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<PathBuf, (ArtifactFileStamp, Digest)>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(dir: &Path) -> io::Result<Vec<FoundManifest>> {
    let files = manifest::list_files(dir)?.into_iter();
    Ok(files
        .map(|file| FoundManifest {
            name: manifest::plugin_name(&file).unwrap_or_else(|_| manifest::placeholder_name(&file)),
            manifest: Manifest::read(&file),
            file,
        })
        .collect())
}
