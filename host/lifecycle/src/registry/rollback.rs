//! Rollback to an earlier generation (`rollback`), and making the serving generation the desired one (`keep`).
//!
//! In: the manifest, and the record of the slot. Out: a manifest that names the serving generation, after a swap if
//! necessary. Never publishes a version that was refused, unless it is forced explicitly.

use std::sync::Arc;

use super::PluginsInner;
use super::change::{ChangeCaller, refused};
use super::entry::PluginEntry;
use super::record::{GenerationIdentity, GenerationRecord};
use crate::change::{ChangeOutcome, ChangeRefused, ChangeRefusedCode, RolloutOverride, SwapStage};
use crate::manifest::{Manifest, edit};
use crate::status::DesiredState;
use barnabas_storage::audit::AuditAction;

/// The target of a rollback.
enum RollbackTarget {
    /// The serving generation becomes the desired one.
    Stay,
    /// This generation serves again.
    To(GenerationRecord),
}

/// The state when the rollback was requested.
struct SwapBefore {
    swap: bool,
    serving: Option<u64>,
}

impl PluginsInner {
    /// Whether a rollback could begin, as far as is known before it has the lock.
    pub(super) fn can_roll_back(&self, name: &str, number: Option<u64>, force: bool) -> Result<(), ChangeRefused> {
        let way = self.entry(name, |entry| {
            let other = entry.under_way.is_some() || !entry.desired.runs;
            entry.rollback_target(name, number, force, other).map(|_| ())
        });
        way.unwrap_or(Ok(()))
    }

    pub(super) fn can_keep(&self, name: &str) -> Result<(), ChangeRefused> {
        if self.serving(name).is_some() {
            return Ok(());
        }
        let words = format!("nothing of `{name}` serves that could be kept; `retry` tries what its manifest wants");
        Err(refused(ChangeRefusedCode::NothingServes, words))
    }

    /// Rolls back to the generation before the desired one. It served before, so it needs no trial.
    pub(super) async fn roll_back(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: Arc<str>,
        number: Option<u64>,
        force: bool,
    ) {
        let begun = self.begun(&name);
        self.supersede(&name, "it is rolled back");
        let turn = self.turn(&name).await;
        let before = match self.text(&name).await {
            Ok(text) => text,
            Err(problem) => return self.finish_failed(caller, &name, SwapStage::Fetch, problem),
        };
        let (wanted, ended) = (self.wanted(&name, &before).await, self.ended(&name, &begun));
        let way = self.entry(&name, |entry| {
            let served = entry.record.serving.as_ref().map(|release| release.identity);
            entry.rollback_target(&name, number, force, ended || served != wanted)
        });
        match way {
            None => self.finish_failed(caller, &name, SwapStage::Fetch, "the plugin was removed".into()),
            Some(Err(refused)) => self.finish_failed(caller, &name, SwapStage::Fetch, refused.message),
            Some(Ok(RollbackTarget::Stay)) => {
                self.keep_in_turn(caller, &name, AuditAction::Rollback, before, ended).await
            }
            Some(Ok(RollbackTarget::To(release))) => match self.manifest_of(&name, &release, &before, true) {
                Err(problem) => self.finish_failed(caller, &name, SwapStage::Fetch, problem),
                Ok(manifest) => {
                    self.swap_in_turn(
                        caller,
                        before,
                        manifest,
                        RolloutOverride::default(),
                        AuditAction::Rollback,
                        turn,
                    )
                    .await;
                }
            },
        }
    }

    /// Makes the serving generation the desired one, aborting a swap in progress.
    pub(super) async fn keep(self: &Arc<Self>, caller: &ChangeCaller, name: Arc<str>) {
        let begun = self.begun(&name);
        self.supersede(&name, "what serves is kept");
        let _turn = self.turn(&name).await;
        let before = match self.text(&name).await {
            Ok(text) => text,
            Err(problem) => return self.finish_failed(caller, &name, SwapStage::Fetch, problem),
        };
        let serving = self.serving(&name);
        if let Some(number) = serving.filter(|_| serving != begun.serving) {
            let message = format!("it came too late: generation {number} serves; `rollback` takes it back");
            return self.finish_without_swap(caller, &name, AuditAction::Keep, ChangeOutcome::Unchanged, message).await;
        }
        let ended = self.ended(&name, &begun);
        self.keep_in_turn(caller, &name, AuditAction::Keep, before, ended).await;
    }

    /// Changes the manifest to name the serving generation. `before` is its current text, `ended` whether a swap was
    /// aborted for this.
    async fn keep_in_turn(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: &Arc<str>,
        action: AuditAction,
        before: String,
        ended: bool,
    ) {
        let release = self.entry(name, |entry| entry.record.serving.clone().filter(|_| entry.serving.is_some()));
        let Some(release) = release.flatten() else {
            return self.finish_failed(caller, name, SwapStage::Fetch, "nothing serves that could be kept".into());
        };
        let wanted = self.wanted(name, &before).await;
        let written = if wanted == Some(release.identity) {
            Ok(None)
        } else {
            self.write_wanted(name, &release, before).await.map(Some)
        };
        let pinned = match written {
            Ok(pinned) => pinned,
            Err(problem) => {
                return self.finish_without_swap(caller, name, action, ChangeOutcome::Failed, problem).await;
            }
        };
        let refusal = self.entry(name, |entry| {
            let digest = Some(release.identity.artifact);
            entry.desired = DesiredState { digest, problem: None, runs: true };
            (entry.failure, entry.record.pending) = (None, None);
            wanted.and_then(|wanted| entry.record.refusal(wanted).cloned())
        });
        let mut message = format!("generation {} serves and is what its manifest wants", release.number);
        if ended {
            message = format!("the swap that was under way is ended; {message}");
        }
        match (pinned, wanted, refusal.flatten()) {
            (None, ..) => {}
            (Some(_), Some(wanted), Some(refusal)) => {
                message += &format!("; it wanted {}, which was {}", wanted.artifact, refusal.describe());
            }
            (Some(_), Some(wanted), None) => message += &format!("; it wanted {}", wanted.artifact),
            (Some(_), None, _) => message += "; what it wanted could not be told",
        }
        if pinned == Some(true) {
            message += "; it names the artifact by `digest` now: take that line out to follow the file again";
        }
        if let Err(problem) = self.store_record(name).await {
            message += &format!("; a restart would not know it: {problem}");
        }
        let verdict = if pinned.is_some() || ended { ChangeOutcome::Done } else { ChangeOutcome::Unchanged };
        self.finish_without_swap(caller, name, action, verdict, message).await;
    }

    /// Writes a manifest that names this generation. Returns whether this needed an explicit `digest`.
    async fn write_wanted(
        self: &Arc<Self>,
        name: &Arc<str>,
        release: &GenerationRecord,
        before: String,
    ) -> Result<bool, String> {
        let as_written = self.manifest_of(name, release, &before, false)?;
        // If the artifact file has changed since, only the digest identifies the artifact.
        let pins = self.identity(&as_written).await.ok() != Some(release.identity);
        let manifest = if pins { self.manifest_of(name, release, &before, true)? } else { as_written };
        let (file, text) = (manifest.file.clone(), manifest.text.clone());
        let written = self.run_blocking(move || edit::replace(&file, &before, &text)).await;
        let written = written.and_then(|written| written);
        written.map_err(|problem| format!("it cannot be written to {}: {problem}", manifest.file.display()))?;
        Ok(pins)
    }

    /// Returns the manifest of a generation. `paused` and the rollout policy are taken from the current text `now`,
    /// since they belong to the plugin and not to one of its versions.
    fn manifest_of(&self, name: &str, release: &GenerationRecord, now: &str, pinned: bool) -> Result<Manifest, String> {
        let file = self.entry(name, |entry| entry.file.clone()).unwrap_or_else(|| self.file(name));
        let mut text = edit::with_paused(&release.manifest, edit::is_paused(now))?;
        if pinned {
            text = edit::with_digest(&text, release.identity.artifact)?;
        }
        // The current rollout tables may be invalid themselves.
        let careful = edit::with_rollout_of(&text, now).and_then(|careful| Manifest::parse(&file, &careful));
        careful.or_else(|_| Manifest::parse(&file, &text))
    }

    /// Returns the identity of the generation that a manifest asks for, if it can be determined.
    async fn wanted(self: &Arc<Self>, name: &str, text: &str) -> Option<GenerationIdentity> {
        let file = self.entry(name, |entry| entry.file.clone())?;
        let manifest = Manifest::parse(&file, text).ok()?;
        self.identity(&manifest).await.ok()
    }

    fn begun(&self, name: &str) -> SwapBefore {
        let begun = self.entry(name, |entry| SwapBefore {
            swap: entry.under_way.is_some(),
            serving: entry.serving.as_ref().map(|generation| generation.number),
        });
        begun.unwrap_or(SwapBefore { swap: false, serving: None })
    }

    /// Whether a swap was in progress then whose candidate was not published.
    fn ended(&self, name: &str, begun: &SwapBefore) -> bool {
        begun.swap && self.serving(name) == begun.serving
    }
}

impl PluginEntry {
    /// Returns the target of a rollback; `other` is whether another generation is desired than the one that served
    /// last.
    fn rollback_target(
        &self,
        name: &str,
        number: Option<u64>,
        force: bool,
        other: bool,
    ) -> Result<RollbackTarget, ChangeRefused> {
        let (record, last) = (&self.record, self.record.serving.as_ref());
        let to = match number {
            Some(number) => last.filter(|last| last.number == number).or_else(|| record.find(Some(number))),
            None if other => last,
            None => record.find(None),
        };
        let Some(release) = to else { return Err(self.unknown_generation(name, number)) };
        if self.serving.is_some() && last.is_some_and(|last| last.number == release.number) {
            return Ok(RollbackTarget::Stay);
        }
        match record.refusal(release.identity).filter(|_| !force) {
            None => Ok(RollbackTarget::To(release.clone())),
            Some(refusal) => {
                let words = format!(
                    "generation {} of `{name}` was {}; `--force` has it serve all the same, `--to` names another",
                    release.number,
                    refusal.describe()
                );
                Err(refused(ChangeRefusedCode::RefusedGeneration, words))
            }
        }
    }

    fn unknown_generation(&self, name: &str, number: Option<u64>) -> ChangeRefused {
        let numbers = self.record.kept.iter().map(|release| {
            let refused = self.record.refusal(release.identity).map_or("", |_| " (refused)");
            format!("{}{refused}", release.number)
        });
        let numbers = numbers.collect::<Vec<_>>().join(", ");
        let kept = if numbers.is_empty() { "no earlier one is kept".into() } else { format!("kept are {numbers}") };
        let which = number.map_or_else(|| "an earlier generation".into(), |number| format!("generation {number}"));
        refused(ChangeRefusedCode::UnknownGeneration, format!("`{name}` cannot go back to {which}: {kept}"))
    }
}
