//! One line of the log, and how it reads again.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rfc3339;
use crate::plugin::digest::Digest;

/// Form of the lines that are written. Lines of a later form are shown, and not understood.
const FORMAT_VERSION: u64 = 1;
/// Most characters of one text, and most lines of a difference.
const MAX_TEXT_CHARS: usize = 4_096;
const MAX_GRANT_LINES: usize = 256;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    /// A new plugin.
    Load,
    /// Another generation.
    Swap,
    /// A kept generation again.
    Rollback,
    /// What serves is what is wanted from now on.
    Keep,
    /// Once more what had failed.
    Retry,
    /// No more batches.
    Pause,
    /// Batches again.
    Resume,
    /// Gone.
    Remove,
    /// A swap was ended.
    Abort,
    /// What served before a restart serves again.
    Restore,
    /// A subscription was altered over the wire; `plugin` names it.
    AlterSubscription,
    /// A line that this version cannot read: written by a later one, or damaged. `message` holds it. Never written.
    Unreadable,
}

impl AuditAction {
    /// Stable name.
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

/// The outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOutcome {
    /// It is as was asked.
    Done,
    /// It was so before.
    Unchanged,
    /// A stage failed; what served before serves.
    Failed,
    /// The candidate was found worse under traffic; what served before serves.
    RolledBack,
    /// There was too little to judge it by; what served before serves.
    Inconclusive,
    /// Somebody ended it; what served before serves.
    Aborted,
}

/// Which generation of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GenerationRef {
    /// Its number in the slot.
    pub generation: u64,
    /// Of its artifact.
    pub digest: Digest,
}

/// One change that is over.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AuditEntry {
    /// When it was over; whole seconds are kept.
    #[serde(rename = "unix_seconds", with = "whole_seconds")]
    pub at: SystemTime,
    /// An [`Actor`](crate::plugin::change::Actor) as text.
    pub who: String,
    /// What was done.
    pub action: AuditAction,
    /// To which plugin.
    pub plugin: String,
    /// What served before.
    pub from: Option<GenerationRef>,
    /// What was wanted to serve.
    pub to: Option<GenerationRef>,
    /// What the new one is granted and asks for, other than the one before it: `+ …`, `- …`.
    pub grants: Vec<String>,
    /// How it ended; none where nothing was begun.
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
    /// Its line, without the end of line. Overlong texts are cut.
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
        let written = AuditLine { v: FORMAT_VERSION, time: rfc3339(entry.at), entry: &entry };
        serde_json::to_string(&written).expect("texts and numbers are JSON")
    }

    /// `None` for an empty line and one that was torn.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let version = value.get("v").and_then(Value::as_u64);
        let entry = Self::deserialize(&value).ok().filter(|_| version == Some(FORMAT_VERSION));
        Some(entry.unwrap_or_else(|| Self::unreadable(version, &value)))
    }

    fn unreadable(version: Option<u64>, line: &Value) -> Self {
        let reason = match version {
            Some(version) if version > FORMAT_VERSION => {
                format!("written by a later version of the host (form {version})")
            }
            _ => "not a line of this log".into(),
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

/// A moment as whole seconds since the Unix epoch.
mod whole_seconds {
    use super::{Deserialize as _, Duration, SystemTime};

    pub(super) fn serialize<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        u64::deserialize(deserializer).map(from_unix_seconds)
    }

    /// Numbers that no clock shows become the epoch.
    pub(super) fn from_unix_seconds(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
