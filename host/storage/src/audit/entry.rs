//! One line of the audit log: its fields, and its JSON form in both directions.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rfc3339;
use barnabas_base::digest::Digest;

/// Format version of the lines that this release writes. Lines of a later version are shown as unreadable.
const FORMAT_VERSION: u64 = 1;
/// Maximum number of characters of one text, and maximum number of lines of changed grants.
const MAX_TEXT_CHARS: usize = 4_096;
const MAX_GRANT_LINES: usize = 256;

/// The operation that an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    /// A new plugin was loaded.
    Load,
    /// A plugin was swapped to another generation.
    Swap,
    /// A plugin was rolled back to a retained generation.
    Rollback,
    /// The manifest was changed to name the generation that serves.
    Keep,
    /// A candidate that had failed was tried again.
    Retry,
    /// The plugin was paused: it receives no batches.
    Pause,
    /// The plugin was resumed: it receives batches again.
    Resume,
    /// The plugin was removed.
    Remove,
    /// A swap was aborted.
    Abort,
    /// The generation that served before a restart was restored.
    Restore,
    /// A telemetry subscription was altered over the Kafka protocol; `plugin` holds its name.
    AlterSubscription,
    /// A line that this release cannot read, because a later release wrote it or it is damaged. `message` holds the
    /// line. Never written.
    Unreadable,
}

impl AuditAction {
    /// The stable name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
            Self::Keep => "keep",
            Self::Retry => "retry",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remove => "remove",
            Self::Abort => "abort",
            Self::Restore => "restore",
            Self::AlterSubscription => "alter-subscription",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The outcome of a change, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOutcome {
    /// The change was made.
    Done,
    /// There was nothing to change.
    Unchanged,
    /// A stage failed; the previous generation still serves.
    Failed,
    /// The candidate performed worse than the serving generation, which still serves.
    RolledBack,
    /// There was too little traffic to judge the candidate; the previous generation still serves.
    Inconclusive,
    /// The change was aborted; the previous generation still serves.
    Aborted,
}

/// Identifies one generation of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GenerationRef {
    /// Its number in the slot.
    pub generation: u64,
    /// The digest of its artifact.
    pub digest: Digest,
}

/// One completed change.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AuditEntry {
    /// When the change completed, in whole seconds.
    #[serde(rename = "unix_seconds", with = "whole_seconds")]
    pub at: SystemTime,
    /// The actor as text: `file`, `start`, or who asked through the admin endpoint.
    pub who: String,
    /// The operation.
    pub action: AuditAction,
    /// The name of the plugin.
    pub plugin: String,
    /// The generation that served before the change.
    pub from: Option<GenerationRef>,
    /// The generation that was requested.
    pub to: Option<GenerationRef>,
    /// How grants and grantable imports differ from those of the previous generation: lines `+ …` and `- …`.
    pub grants: Vec<String>,
    /// The outcome; `None` if the change was refused before it began.
    pub outcome: Option<ChangeOutcome>,
    /// One or two sentences.
    pub message: String,
}

#[derive(Serialize)]
struct AuditLine<'a> {
    v: u64,
    time: String,
    #[serde(flatten)]
    entry: &'a AuditEntry,
}

impl AuditEntry {
    /// Encodes the entry as one line without the newline. Overlong texts are truncated.
    pub(super) fn to_line(&self) -> String {
        let mut entry = self.clone();
        for text in [&mut entry.who, &mut entry.plugin, &mut entry.message].into_iter().chain(&mut entry.grants) {
            truncate(text);
        }
        let omitted = entry.grants.len().saturating_sub(MAX_GRANT_LINES);
        if omitted > 0 {
            entry.grants.truncate(MAX_GRANT_LINES);
            entry.grants.push(format!("… and {omitted} more"));
        }
        let line = AuditLine { v: FORMAT_VERSION, time: rfc3339(entry.at), entry: &entry };
        serde_json::to_string(&line).expect("strings and numbers serialise to JSON")
    }

    /// Decodes one line. `None` if the line is empty or cut short.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let version = value.get("v").and_then(Value::as_u64);
        let entry = Self::deserialize(&value).ok().filter(|_| version == Some(FORMAT_VERSION));
        Some(entry.unwrap_or_else(|| Self::unreadable(version, &value)))
    }

    fn unreadable(version: Option<u64>, line: &Value) -> Self {
        let reason = match version {
            Some(version) if version > FORMAT_VERSION => {
                format!("written by a later release (format {version})")
            }
            _ => "not an audit log line".into(),
        };
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let seconds = line.get("unix_seconds").and_then(Value::as_u64).unwrap_or_default();
        let mut message = format!("{reason}: {line}");
        truncate(&mut message);
        Self {
            at: whole_seconds::from_unix_seconds(seconds),
            who: text("who"),
            action: AuditAction::Unreadable,
            plugin: text("plugin"),
            from: None,
            to: None,
            grants: Vec::new(),
            outcome: None,
            message,
        }
    }
}

fn truncate(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
}

/// (De)serialises a time as whole seconds since the Unix epoch.
mod whole_seconds {
    use super::{Deserialize as _, Duration, SystemTime};

    pub(super) fn serialize<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        u64::deserialize(deserializer).map(from_unix_seconds)
    }

    /// Numbers outside the range of `SystemTime` become the epoch.
    pub(super) fn from_unix_seconds(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
