//! The persistent record of a slot: the serving generation, retained ones, and refused candidates.
//!
//! Each slot has one record in the embedded store, which is replaced atomically.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::change::{ChangeOutcome, RolloutOverride, SwapStage};
use crate::manifest::Manifest;
use crate::rollout::RolloutPolicy;
use barnabas_base::digest::Digest;

/// The kind of these records in the store.
pub(super) const SLOT_RECORD_KIND: &str = "slot";
/// Number of retained generations, to which a plugin can be rolled back.
pub(super) const MAX_RETAINED: usize = 3;
/// Number of recorded refusals, the newest ones.
const MAX_REFUSALS: usize = 16;

/// Identifies what a generation runs: two generations of the same identity run the same code in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct GenerationIdentity {
    /// Digest of the artifact.
    pub(crate) artifact: Digest,
    /// Fingerprint of the manifest: settings, grants, limits and everything else that a receiver can observe.
    pub(crate) meaning: Digest,
}

/// A generation that serves or served, and everything that is needed to create it again.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct GenerationRecord {
    pub(super) number: u64,
    #[serde(flatten)]
    pub(super) identity: GenerationIdentity,
    /// Text of the manifest.
    pub(super) manifest: String,
    pub(super) since: SystemTime,
}

/// A candidate that was worse under traffic, could not be judged, or was aborted. It is not tried again until that is
/// requested, and then with the same rollout.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct CandidateRefusal {
    #[serde(flatten)]
    pub(super) identity: GenerationIdentity,
    /// The number of the candidate.
    pub(super) number: u64,
    pub(super) verdict: ChangeOutcome,
    pub(super) stage: SwapStage,
    pub(super) reason: String,
    pub(super) at: SystemTime,
    /// The complete rollout that it had, from the manifest and the command.
    pub(super) rollout: RolloutOverride,
    /// The manifest's `[rollout]` at that time.
    pub(super) written: RolloutOverride,
    /// Whether the artifact is refused with other settings as well. It is not if the same artifact served at that time
    /// or has served since: then its settings were at fault.
    pub(super) any_settings: bool,
}

/// A candidate that the manifest names and that does not serve yet, with the requested overrides.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct PendingRollout {
    #[serde(flatten)]
    pub(super) identity: GenerationIdentity,
    pub(super) plan: RolloutOverride,
}

/// The record of a slot.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct SlotRecord {
    pub(super) serving: Option<GenerationRecord>,
    /// Newest first; the identities differ from each other and from the serving one.
    #[serde(default)]
    pub(super) kept: Vec<GenerationRecord>,
    /// Newest first, one per identity.
    #[serde(default)]
    pub(super) refusals: Vec<CandidateRefusal>,
    #[serde(default)]
    pub(super) pending: Option<PendingRollout>,
    /// The highest number that was assigned to a candidate, published or not.
    #[serde(default)]
    pub(super) number: u64,
}

impl GenerationRecord {
    pub(super) fn from_manifest(manifest: &Manifest, artifact: Digest, number: u64) -> Self {
        let identity = GenerationIdentity { artifact, meaning: manifest.fingerprint };
        Self { number, identity, manifest: manifest.text.to_string(), since: SystemTime::now() }
    }
}

impl CandidateRefusal {
    /// `refused at canary: it failed 8 of 8 pushes`.
    pub(super) fn describe(&self) -> String {
        let what = if self.verdict == ChangeOutcome::RolledBack { "refused" } else { "given up" };
        format!("{what} at {}: {}", self.stage, self.reason)
    }

    /// The rollout of another attempt: the previous one, except for what the manifest has changed since. A stage that
    /// was removed from the manifest is still required.
    pub(super) fn rollout(&self, now: &RolloutPolicy) -> RolloutOverride {
        let other = |a: Option<f64>, b: Option<f64>| a.zip(b).is_none_or(|(a, b)| (a - b).abs() > 1e-9);
        let plan = now.to_override();
        let canary = plan.canary.filter(|_| now.canary < 1.0 && other(plan.canary, self.written.canary));
        let shadow = plan.shadow.filter(|_| !now.shadow.is_zero() && plan.shadow != self.written.shadow);
        RolloutOverride {
            self_test: self.rollout.self_test,
            shadow: shadow.or(self.rollout.shadow),
            canary: canary.or(self.rollout.canary),
        }
    }
}

impl SlotRecord {
    /// Returns the refusal of this identity, if it was refused and has not served since.
    pub(super) fn refusal(&self, identity: GenerationIdentity) -> Option<&CandidateRefusal> {
        let exact = self.refusals.iter().find(|refusal| refusal.identity == identity);
        let artifact =
            |refusal: &&CandidateRefusal| refusal.any_settings && refusal.identity.artifact == identity.artifact;
        exact.or_else(|| self.refusals.iter().find(artifact))
    }

    /// Returns the last refusal, if no other generation was published since.
    pub(super) fn last_refusal(&self) -> Option<&CandidateRefusal> {
        let serving = self.serving.as_ref().map_or(0, |release| release.number);
        self.refusals.first().filter(|refusal| refusal.number > serving)
    }

    /// Records a refusal, replacing an earlier one of the same identity. A stage that only the earlier attempt had
    /// stays required, for example if this attempt, without a canary, was aborted before it was published.
    pub(super) fn refuse(&mut self, mut refusal: CandidateRefusal) {
        self.pending.take_if(|pending| pending.identity == refusal.identity);
        if let Some(at) = self.refusals.iter().position(|known| known.identity == refusal.identity) {
            let had = self.refusals.remove(at).rollout;
            let RolloutOverride { shadow, canary, .. } = &mut refusal.rollout;
            *canary = canary.filter(|share| *share < 100.0).or(had.canary);
            *shadow = shadow.filter(|span| !span.0.is_zero()).or(had.shadow);
        }
        self.refusals.insert(0, refusal);
        self.refusals.truncate(MAX_REFUSALS);
    }

    /// Clears the refusals of a published generation, and allows its artifact with other settings.
    pub(super) fn clear_refusals(&mut self, identity: GenerationIdentity) {
        self.refusals.retain(|refusal| refusal.identity != identity);
        let same = self.refusals.iter_mut().filter(|refusal| refusal.identity.artifact == identity.artifact);
        same.for_each(|refusal| refusal.any_settings = false);
    }

    /// Records the serving generation; the previous one is retained.
    pub(super) fn serve(&mut self, release: GenerationRecord) {
        self.kept.extend(self.serving.replace(release));
        let serving = self.serving.as_ref().map(|release| release.identity);
        self.kept.sort_by_key(|release| std::cmp::Reverse(release.number));
        let mut known = Vec::new();
        self.kept.retain(|release| {
            let new = Some(release.identity) != serving && !known.contains(&release.identity);
            known.push(release.identity);
            new
        });
        self.kept.truncate(MAX_RETAINED);
    }

    /// Returns the retained generation of this number, or without a number the previous one.
    pub(super) fn find(&self, number: Option<u64>) -> Option<&GenerationRecord> {
        match number {
            Some(number) => self.kept.iter().find(|release| release.number == number),
            None => self.kept.first(),
        }
    }

    /// Digests of artifacts that must not be removed.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = Digest> + '_ {
        let releases = self.kept.iter().chain(&self.serving).map(|release| release.identity.artifact);
        let refused = self.last_refusal().map(|refusal| refusal.identity.artifact);
        releases.chain(refused).chain(self.pending.iter().map(|pending| pending.identity.artifact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, content: &str) -> GenerationRecord {
        let digest = Digest::compute(content.as_bytes());
        let identity = GenerationIdentity { artifact: digest, meaning: digest };
        GenerationRecord { number, identity, manifest: String::new(), since: SystemTime::UNIX_EPOCH }
    }

    fn numbers(record: &SlotRecord) -> Vec<u64> {
        record.kept.iter().map(|release| release.number).collect()
    }

    #[test]
    fn the_last_three_other_generations_are_retained() {
        let mut record = SlotRecord::default();
        for (number, content) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
            record.serve(release(number, content));
        }
        assert_eq!(numbers(&record), [4, 3, 2]);
        assert_eq!(record.find(None).map(|r| r.number), Some(4));
        assert_eq!(record.find(Some(2)).map(|r| r.number), Some(2));
        assert!(record.find(Some(1)).is_none() && record.find(Some(5)).is_none());
    }

    #[test]
    fn swapping_back_and_forth_retains_each_once() {
        let mut record = SlotRecord::default();
        for number in 1..=20 {
            record.serve(release(number, if number % 2 == 0 { "even" } else { "odd" }));
        }
        assert_eq!(numbers(&record), [19]);
    }

    fn identity(artifact: &str, settings: &str) -> GenerationIdentity {
        GenerationIdentity {
            artifact: Digest::compute(artifact.as_bytes()),
            meaning: Digest::compute(settings.as_bytes()),
        }
    }

    fn refusal(number: u64, identity: GenerationIdentity, canary: f64, written: &RolloutPolicy) -> CandidateRefusal {
        CandidateRefusal {
            identity,
            number,
            verdict: ChangeOutcome::RolledBack,
            stage: SwapStage::Canary,
            reason: "it failed".into(),
            at: SystemTime::UNIX_EPOCH,
            rollout: written
                .with_override(RolloutOverride { canary: Some(canary), ..RolloutOverride::default() })
                .to_override(),
            written: written.to_override(),
            any_settings: true,
        }
    }

    #[test]
    fn what_was_refused_is_remembered_until_it_serves() {
        let (bad, other, good) = (identity("bad", "a"), identity("bad", "b"), identity("good", "a"));
        let mut record = SlotRecord::default();
        record.serve(GenerationRecord { identity: good, ..release(1, "") });
        record.refuse(refusal(2, bad, 25.0, &RolloutPolicy::default()));
        assert_eq!(record.refusal(bad).map(|refusal| refusal.number), Some(2));
        assert!(record.refusal(other).is_some(), "the artifact is refused under other settings, too");
        assert!(record.refusal(good).is_none());
        assert_eq!(record.last_refusal().map(|refusal| refusal.number), Some(2));
        // Whatever else serves meanwhile.
        record.serve(GenerationRecord { identity: identity("new", "a"), ..release(3, "") });
        assert!(record.refusal(bad).is_some() && record.last_refusal().is_none());
        record.clear_refusals(other);
        assert!(record.refusal(other).is_none(), "it serves");
        assert!(record.refusal(bad).is_some(), "these settings were never let in");
        record.clear_refusals(bad);
        assert!(record.refusal(bad).is_none());
    }

    #[test]
    fn refusal_cap_obeyed() {
        let mut record = SlotRecord::default();
        for number in 0..MAX_REFUSALS as u64 {
            record.refuse(refusal(number, identity(&number.to_string(), ""), 5.0, &RolloutPolicy::default()));
            // Another attempt of the same is not another refusal.
            record.refuse(refusal(number, identity(&number.to_string(), ""), 5.0, &RolloutPolicy::default()));
        }
        assert!(record.refusal(identity("0", "")).is_some() && record.refusals.len() == MAX_REFUSALS);
    }

    #[test]
    fn refusal_cap_violated() {
        let mut record = SlotRecord::default();
        for number in 0..=MAX_REFUSALS as u64 {
            record.refuse(refusal(number, identity(&number.to_string(), ""), 5.0, &RolloutPolicy::default()));
        }
        assert!(record.refusal(identity("0", "")).is_none(), "the oldest makes room");
        assert!(record.refusal(identity("1", "")).is_some() && record.refusals.len() == MAX_REFUSALS);
    }

    #[test]
    fn another_attempt_has_the_rollout_of_the_one_that_was_refused() {
        let written = |canary: f64| RolloutPolicy { canary: canary / 100.0, ..RolloutPolicy::default() };
        let again = |had: f64, then: f64, now: f64| {
            let refusal = refusal(2, identity("bad", "a"), had, &written(then));
            let text = serde_json::to_string(&refusal).unwrap();
            let refusal: CandidateRefusal = serde_json::from_str(&text).unwrap();
            let care = written(now).with_override(refusal.rollout(&written(now)));
            (care.canary * 100.0).round() as u64
        };
        assert_eq!(again(25.0, 100.0, 100.0), 25, "it was asked for on the command line");
        assert_eq!(again(5.0, 25.0, 25.0), 5, "on top of what the manifest has");
        assert_eq!(again(7.0, 7.0, 50.0), 50, "somebody edited the manifest since");
        assert_eq!(again(25.0, 25.0, 100.0), 25, "a canary that is taken out of the manifest is no word for all lanes");
        let mut record = SlotRecord::default();
        for had in [25.0, 100.0] {
            record.refuse(refusal(2, identity("bad", "a"), had, &RolloutPolicy::default()));
        }
        let had = record.refusal(identity("bad", "a")).and_then(|refusal| refusal.rollout.canary);
        assert_eq!(had, Some(25.0), "all lanes at once was aborted before it came to be");
        let shadow = RolloutPolicy { shadow: std::time::Duration::from_secs(6), ..RolloutPolicy::default() };
        let refusal = CandidateRefusal {
            rollout: shadow.to_override(),
            ..refusal(2, identity("bad", "a"), 100.0, &RolloutPolicy::default())
        };
        assert_eq!(
            RolloutPolicy::default().with_override(refusal.rollout(&RolloutPolicy::default())).shadow,
            shadow.shadow
        );
    }

    #[test]
    fn a_record_survives_a_json_round_trip() {
        let mut record = SlotRecord::default();
        record.serve(release(1, "a"));
        record.serve(release(2, "b"));
        let text = serde_json::to_string(&record).unwrap();
        let again: SlotRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers(&again), [1]);
        assert_eq!(again.serving.unwrap().identity, record.serving.unwrap().identity);
    }
}
