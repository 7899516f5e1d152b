//! Manifests, in which operators describe plugins: `<name>.toml`.
//!
//! In: a file. Out: a [`Manifest`] of validated values, or one sentence that names file, key, cause and remedy. The
//! plugin's name is the file name. Reads only this file, and none that it refers to.

pub(crate) mod edit;
mod raw;

pub use raw::keys;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::change::ManifestPatch;
use super::rollout::RolloutPolicy;
use barnabas_base::digest::Digest;
use barnabas_pipeline::decode::NormaliseConfig;
use barnabas_pipeline::dispatch::SlotConfig;
use barnabas_runtime::capability::egress::Grants;
use barnabas_runtime::capability::state::StateQuota;
use barnabas_runtime::limits::InstanceLimits;

/// Maximum size of a manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Maximum length of a plugin's name.
const MAX_NAME_CHARS: usize = 63;

/// A validated manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file's name without `.toml`.
    pub name: Arc<str>,
    /// Path of the file.
    pub file: PathBuf,
    /// Text of the file.
    pub text: Arc<str>,
    /// The digest of everything besides the artifact that affects a generation: two manifests with the same fingerprint
    /// do not differ in anything that a running receiver could observe.
    pub fingerprint: Digest,
    /// Path of the component or core module, relative to the manifest's directory. Without it, `digest` names an
    /// artifact in the host's store.
    pub artifact: Option<PathBuf>,
    /// The required digest of the artifact, if the manifest has one.
    pub digest: Option<Digest>,
    /// Whether the plugin receives no batches.
    pub paused: bool,
    /// How another generation is rolled out.
    pub rollout: RolloutPolicy,
    /// The receiver's settings: the text of one JSON object.
    pub settings: Arc<str>,
    /// Destinations and addresses that it may reach.
    pub grants: Arc<Grants>,
    /// How much state it may store; `None` if state is not granted.
    pub state_quota: Option<StateQuota>,
    /// The grants as written, one per line: `http localhost:4318`.
    pub grant_lines: Vec<String>,
    /// The limits of each instance.
    pub limits: InstanceLimits,
    /// Number of instances that serve concurrently.
    pub instances: usize,
    /// Maximum number of concurrent outgoing requests of all instances together.
    pub requests: usize,
    /// How pushes are normalised before the receiver sees them; `None` if they are not.
    pub normalise: Option<Arc<NormaliseConfig>>,
    pub(super) slot: SlotConfig,
}

impl Manifest {
    /// Reads a manifest file. The error is one sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
        let meta = std::fs::metadata(path).map_err(fail)?;
        if !meta.is_file() {
            return Err(format!("{}: is not a regular file, as a manifest must be", path.display()));
        }
        if meta.len() > MAX_MANIFEST_BYTES {
            return Err(format!(
                "{}: has {} bytes; the limit for a manifest is {MAX_MANIFEST_BYTES}",
                path.display(),
                meta.len()
            ));
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(fail)?)
    }

    /// Parses the text of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let parsed = plugin_name(path).and_then(|name| raw::parse(name, path, text));
        parsed.map_err(|problem| {
            // Errors of the underlying parsers (regular expressions, TOML) span several lines.
            let sentence: Vec<_> = problem.split_whitespace().collect();
            format!("{}: {}", path.display(), sentence.join(" "))
        })
    }

    /// Applies a patch to the text of `path` and parses the result, for a load or a swap.
    pub fn with_patch(path: &Path, text: &str, wanted: &ManifestPatch) -> Result<Self, String> {
        let text = edit::apply_patch(text, wanted).map_err(|problem| format!("{}: {problem}", path.display()))?;
        Self::parse(path, &text)
    }

    /// The configuration of its slot: queue, batches and matching.
    pub fn slot_config(&self) -> SlotConfig {
        self.slot.clone()
    }
}

/// Lists the manifests of a directory in the order of their names. A directory that does not exist has none.
pub fn list_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    // Editors store temporary copies under names that begin with a dot.
    let hidden = |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|file| file.extension().is_some_and(|ext| ext == "toml") && !hidden(file));
    files.sort();
    Ok(files)
}

/// Returns the plugin's name, which must match `[a-z0-9][a-z0-9-]{0,62}`, since metrics, paths and commands contain it.
pub fn plugin_name(path: &Path) -> Result<Arc<str>, String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = stem.starts_with(plain) && stem.chars().all(|c| plain(c) || c == '-') && stem.len() <= MAX_NAME_CHARS;
    if good {
        return Ok(stem.into());
    }
    Err(format!(
        "`{stem}` is not a valid plugin name; rename the file to lower-case letters, digits and dashes, at most \
         {MAX_NAME_CHARS}, beginning with a letter or digit"
    ))
}

/// Returns a placeholder name for a manifest whose file name is invalid. It is still an intended plugin, so it needs a
/// slot: otherwise clients would not be offered telemetry, and those that check only once would never push.
pub fn placeholder_name(path: &Path) -> Arc<str> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    format!("misnamed-{}", stem.chars().map(plain).take(MAX_NAME_CHARS - 9).collect::<String>()).into()
}

#[cfg(test)]
mod tests;
