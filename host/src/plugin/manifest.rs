//! A plugin as the operator wrote it: `<name>.toml`.
//!
//! In: a file. Out: a [`Manifest`] of checked values; else one sentence that names file, key, cause and remedy. The
//! plugin's name is the file's. Reads this one file and follows nothing it names.

pub(crate) mod edit;
mod raw;

pub use raw::keys;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::change::ManifestPatch;
use super::digest::Digest;
use super::limits::InstanceLimits;
use super::rollout::RolloutPolicy;
use crate::capability::egress::Grants;
use crate::capability::state::StateQuota;
use crate::decode::NormaliseConfig;
use crate::dispatch::SlotConfig;

/// Most bytes of a manifest.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Longest name.
const MAX_NAME_CHARS: usize = 63;

/// What is meant.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file's name without `.toml`.
    pub name: Arc<str>,
    /// Where it was written.
    pub file: PathBuf,
    /// As it was written.
    pub text: Arc<str>,
    /// Of all that makes a generation beside its artifact: two manifests of one meaning differ in nothing that a
    /// running receiver would notice.
    pub fingerprint: Digest,
    /// Component or core module, relative paths taken from the manifest's directory. Without it, `digest` names one
    /// that the host has.
    pub artifact: Option<PathBuf>,
    /// What the artifact must be, where that was said.
    pub digest: Option<Digest>,
    /// Whether it is given no batches.
    pub paused: bool,
    /// How carefully another generation is let in.
    pub rollout: RolloutPolicy,
    /// For the receiver: the text of one JSON object.
    pub settings: Arc<str>,
    /// Destinations and addresses it may reach.
    pub grants: Arc<Grants>,
    /// What its slot keeps for it; `None` where that is not granted.
    pub state_quota: Option<StateQuota>,
    /// The grants as they were written, one a line: `http localhost:4318`.
    pub grant_lines: Vec<String>,
    /// Of each instance.
    pub limits: InstanceLimits,
    /// How many instances serve at once.
    pub instances: usize,
    /// How many outgoing requests of all of them may be under way at once.
    pub requests: usize,
    /// What is rewritten of the pushes that it is lent; `None` where it is lent them as they are.
    pub normalise: Option<Arc<NormaliseConfig>>,
    pub(super) slot: SlotConfig,
}

impl Manifest {
    /// Reads a file. The error is one sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
        let meta = std::fs::metadata(path).map_err(fail)?;
        if !meta.is_file() {
            return Err(format!("{}: is no file; a manifest is one", path.display()));
        }
        if meta.len() > MAX_MANIFEST_BYTES {
            return Err(format!(
                "{}: has {} bytes; a manifest may have {MAX_MANIFEST_BYTES}",
                path.display(),
                meta.len()
            ));
        }
        Self::parse(path, &std::fs::read_to_string(path).map_err(fail)?)
    }

    /// From the text of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let parsed = plugin_name(path).and_then(|name| raw::parse(name, path, text));
        parsed.map_err(|problem| {
            // Errors of parsers beneath (regular expressions, TOML) draw pictures over several lines.
            let sentence: Vec<_> = problem.split_whitespace().collect();
            format!("{}: {}", path.display(), sentence.join(" "))
        })
    }

    /// From the text of `path` and what somebody wants on top of it, as a load or a swap makes it.
    pub fn with_patch(path: &Path, text: &str, wanted: &ManifestPatch) -> Result<Self, String> {
        let text = edit::apply_patch(text, wanted).map_err(|problem| format!("{}: {problem}", path.display()))?;
        Self::parse(path, &text)
    }

    /// How its slot queues, batches and chooses.
    pub fn slot_config(&self) -> SlotConfig {
        self.slot.clone()
    }
}

/// Every manifest of a directory, by name. A directory that does not exist holds none.
pub fn list_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    // Editors keep their own copies under names that begin with a dot.
    let hidden = |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|file| file.extension().is_some_and(|ext| ext == "toml") && !hidden(file));
    files.sort();
    Ok(files)
}

/// The plugin's name: `[a-z0-9][a-z0-9-]{0,62}`, since it stands in metrics, paths and commands.
pub fn plugin_name(path: &Path) -> Result<Arc<str>, String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = stem.starts_with(plain) && stem.chars().all(|c| plain(c) || c == '-') && stem.len() <= MAX_NAME_CHARS;
    if good {
        return Ok(stem.into());
    }
    Err(format!(
        "`{stem}` cannot be a plugin's name; rename the file to lower-case letters, digits and dashes, at most \
         {MAX_NAME_CHARS}, beginning with a letter or digit"
    ))
}

/// What a file with an impossible name is called: it is a plugin that was meant, so its slot must stand, or clients
/// would not be asked for telemetry and those that look once would fall silent.
pub fn placeholder_name(path: &Path) -> Arc<str> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    format!("misnamed-{}", stem.chars().map(plain).take(MAX_NAME_CHARS - 9).collect::<String>()).into()
}

#[cfg(test)]
mod tests;
