//! What is remembered of a slot over restarts: what serves, what served before, what was refused.
//!
//! One document a slot in the embedded store, replaced whole, so that a killed host finds the old or the new.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::plugin::change::{Plan, Stage, Verdict};
use crate::plugin::digest::Digest;
use crate::plugin::manifest::Manifest;

/// The kind of document in the store.
pub(super) const KIND: &str = "slot";
/// Generations that can be rolled back to.
pub(super) const KEPT: usize = 3;

/// What makes one generation other than another: two of one identity run the same code in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Identity {
    /// Of the bytes.
    pub(crate) artifact: Digest,
    /// Of the manifest: settings, grants, limits and the rest of what a receiver notices.
    pub(crate) meaning: Digest,
}

/// A generation that serves or served, and all that is needed to make it again.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Release {
    pub(super) number: u64,
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// The manifest as it was written.
    pub(super) manifest: String,
    pub(super) since: SystemTime,
}

/// A candidate that was found worse under traffic, could not be judged, or was given up by somebody. It is not tried
/// again until somebody says so.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Refusal {
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) verdict: Verdict,
    pub(super) stage: Stage,
    pub(super) reason: String,
    pub(super) at: SystemTime,
}

/// A candidate that stands in the manifest and does not serve yet, and the care that somebody asked for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Pending {
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) plan: Plan,
}

/// All of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) serving: Option<Release>,
    /// The newest first; none of the identity of another or of what serves.
    #[serde(default)]
    pub(super) kept: Vec<Release>,
    #[serde(default)]
    pub(super) refused: Option<Refusal>,
    #[serde(default)]
    pub(super) pending: Option<Pending>,
    /// The greatest number that was given to a candidate, whatever became of it.
    #[serde(default)]
    pub(super) number: u64,
}

impl Release {
    pub(super) fn of(manifest: &Manifest, artifact: Digest, number: u64) -> Self {
        let identity = Identity { artifact, meaning: manifest.meaning };
        Self { number, identity, manifest: manifest.text.to_string(), since: SystemTime::now() }
    }
}

impl Record {
    /// Another serves now; what served before is kept.
    pub(super) fn serve(&mut self, release: Release) {
        self.kept.extend(self.serving.replace(release));
        let serving = self.serving.as_ref().map(|release| release.identity);
        self.kept.sort_by_key(|release| std::cmp::Reverse(release.number));
        let mut known = Vec::new();
        self.kept.retain(|release| {
            let new = Some(release.identity) != serving && !known.contains(&release.identity);
            known.push(release.identity);
            new
        });
        self.kept.truncate(KEPT);
    }

    /// The generation of that number, else the one that served last.
    pub(super) fn find(&self, number: Option<u64>) -> Option<&Release> {
        match number {
            Some(number) => self.kept.iter().find(|release| release.number == number),
            None => self.kept.first(),
        }
    }

    /// Artifacts that must not be thrown away.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = Digest> + '_ {
        let releases = self.kept.iter().chain(&self.serving).map(|release| release.identity.artifact);
        let refused = self.refused.iter().map(|refusal| refusal.identity.artifact);
        releases.chain(refused).chain(self.pending.iter().map(|pending| pending.identity.artifact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, content: &str) -> Release {
        let digest = Digest::of(content.as_bytes());
        let identity = Identity { artifact: digest, meaning: digest };
        Release { number, identity, manifest: String::new(), since: SystemTime::UNIX_EPOCH }
    }

    fn numbers(record: &Record) -> Vec<u64> {
        record.kept.iter().map(|release| release.number).collect()
    }

    #[test]
    fn the_last_three_others_are_kept() {
        let mut record = Record::default();
        for (number, content) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
            record.serve(release(number, content));
        }
        assert_eq!(numbers(&record), [4, 3, 2]);
        assert_eq!(record.find(None).map(|r| r.number), Some(4));
        assert_eq!(record.find(Some(2)).map(|r| r.number), Some(2));
        assert!(record.find(Some(1)).is_none() && record.find(Some(5)).is_none());
    }

    #[test]
    fn swapping_to_and_fro_keeps_each_once() {
        let mut record = Record::default();
        for number in 1..=20 {
            record.serve(release(number, if number % 2 == 0 { "even" } else { "odd" }));
        }
        assert_eq!(numbers(&record), [19]);
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let mut record = Record::default();
        record.serve(release(1, "a"));
        record.serve(release(2, "b"));
        let text = serde_json::to_string(&record).unwrap();
        let again: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers(&again), [1]);
        assert_eq!(again.serving.unwrap().identity, record.serving.unwrap().identity);
    }
}
