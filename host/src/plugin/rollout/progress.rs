//! How a swap stands: told step by step to whoever asked for it, shown to whoever looks, ended by whoever aborts it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Stop;
use crate::event::{EventData, Events, Topic};
use crate::plugin::change::{ChangeOutcome, Stage, Step};
use crate::plugin::digest::Digest;

/// Steps that may wait for a slow reader. Stages and the ending are few; news give way to them.
pub(crate) const STEPS: usize = 64;
/// Room that news leave to the rest.
const RESERVED: usize = 32;

/// Where steps go; nowhere, if nobody asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Teller(Option<mpsc::Sender<Step>>);

impl Teller {
    pub(crate) fn new(steps: mpsc::Sender<Step>) -> Self {
        Self(Some(steps))
    }

    /// Never waits: whoever reads too slowly misses news.
    pub(crate) fn tell(&self, step: Step) {
        let Some(steps) = &self.0 else { return };
        if !matches!(step, Step::News { .. }) || steps.capacity() > RESERVED {
            let _ = steps.try_send(step);
        }
    }
}

/// A swap under way, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The candidate's number.
    pub generation: u64,
    /// Of its artifact, once it is known.
    pub digest: Option<Digest>,
    /// What it is at.
    pub stage: Option<Stage>,
    /// What it has passed.
    pub stages: Vec<Passed>,
    /// How a long stage stands.
    pub news: Option<String>,
    /// Since when.
    #[serde(rename = "since_unix_seconds", serialize_with = "crate::units::unix_seconds")]
    pub since: SystemTime,
}

/// A stage that was passed.
#[derive(Clone, Debug, Serialize)]
pub struct Passed {
    /// Which.
    pub stage: Stage,
    /// How long it took.
    #[serde(rename = "took_seconds", serialize_with = "crate::units::seconds")]
    pub took: Duration,
    /// What there is to say about it.
    pub note: Option<String>,
}

/// One swap. Shared by the task that does it and those who look.
pub(crate) struct Progress {
    plugin: Arc<str>,
    generation: u64,
    teller: Teller,
    events: Events,
    shown: Mutex<Shown>,
    abort: watch::Sender<Option<String>>,
    given_up: AtomicBool,
    /// What the candidate's artifact asks for.
    asks: Mutex<Vec<String>>,
}

impl Progress {
    pub(crate) fn new(plugin: Arc<str>, generation: u64, teller: Teller, events: Events) -> Self {
        let since = SystemTime::now();
        let shown = Shown { generation, digest: None, stage: None, stages: Vec::new(), news: None, since };
        Self {
            plugin,
            generation,
            teller,
            events,
            shown: Mutex::new(shown),
            abort: watch::Sender::new(None),
            given_up: AtomicBool::new(false),
            asks: Mutex::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn shown(&self) -> Shown {
        self.look(|shown| shown.clone())
    }

    /// Whose candidate it is.
    pub(crate) fn of(&self, digest: Digest) {
        self.look(|shown| shown.digest = Some(digest));
    }

    /// What it asks for, once that is known.
    pub(crate) fn asking(&self, asks: Vec<String>) {
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner) = asks;
    }

    pub(crate) fn asks(&self) -> Vec<String> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends what can still be ended: everything before the candidate is published.
    pub(crate) fn abort(&self, why: &str) {
        self.abort.send_if_modified(|known| known.is_none() && known.replace(why.to_owned()).is_none());
    }

    /// Does one stage. Abandoned where somebody aborts meanwhile.
    pub(crate) async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<(T, Option<String>), Stop>>,
    ) -> Result<T, Stop> {
        let mut aborted = self.abort.subscribe();
        self.begin(stage);
        let begun = Instant::now();
        let done = tokio::select! {
            biased;
            why = aborted.wait_for(Option::is_some) => {
                let reason = why.ok().and_then(|why| why.clone()).unwrap_or_default();
                return Err(Stop { stage, verdict: ChangeOutcome::Aborted, reason });
            }
            done = work => done,
        };
        let (value, note) = done?;
        self.passed(stage, begun.elapsed(), note);
        Ok(value)
    }

    /// Does one stage that nobody can abort, since it is the new generation that serves now.
    pub(crate) async fn finish<T>(&self, stage: Stage, work: impl Future<Output = (T, Option<String>)>) -> T {
        self.begin(stage);
        let begun = Instant::now();
        let (value, note) = work.await;
        self.passed(stage, begun.elapsed(), note);
        value
    }

    pub(crate) fn news(&self, stage: Stage, text: String) {
        self.look(|shown| shown.news = Some(text.clone()));
        self.teller.tell(Step::News { plugin: self.plugin.to_string(), stage, text });
    }

    /// Ends it likewise, for good: somebody does not want this candidate.
    pub(crate) fn give_up(&self, why: &str) {
        self.given_up.store(true, Ordering::SeqCst);
        self.abort(why);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    fn begin(&self, stage: Stage) {
        self.look(|shown| (shown.stage, shown.news) = (Some(stage), None));
    }

    fn passed(&self, stage: Stage, took: Duration, note: Option<String>) {
        self.look(|shown| shown.stages.push(Passed { stage, took, note: note.clone() }));
        self.events.emit(Topic::PluginStage, || EventData::PluginStage {
            slot: self.plugin.clone(),
            stage: stage.as_str(),
            took,
        });
        let (plugin, generation) = (self.plugin.to_string(), self.generation);
        self.teller.tell(Step::Passed { plugin, generation, stage, took, note });
    }

    fn look<T>(&self, look: impl FnOnce(&mut Shown) -> T) -> T {
        look(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> (Progress, mpsc::Receiver<Step>) {
        let (steps, told) = mpsc::channel(STEPS);
        (Progress::new("sink".into(), 2, Teller::new(steps), Events::new()), told)
    }

    #[tokio::test]
    async fn a_passed_stage_is_told_and_shown() {
        let (progress, mut told) = progress();
        let value = progress.stage(Stage::Fetch, async { Ok((7, Some("a file".into()))) }).await;
        assert_eq!(value, Ok(7));
        let Some(Step::Passed { stage: Stage::Fetch, generation: 2, note: Some(_), .. }) = told.recv().await else {
            panic!("it is told")
        };
        assert_eq!(progress.shown().stages.len(), 1);
    }

    #[tokio::test]
    async fn an_abort_ends_a_stage_that_waits_and_every_later_one() {
        let (progress, _told) = progress();
        let progress = Arc::new(progress);
        let waits = tokio::spawn({
            let progress = progress.clone();
            async move { progress.stage::<()>(Stage::Canary, std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        progress.abort("asked to");
        progress.abort("asked again");
        let stop = waits.await.unwrap().unwrap_err();
        assert_eq!((stop.verdict, &*stop.reason), (ChangeOutcome::Aborted, "asked to"));
        assert!(progress.stage(Stage::Publish, async { Ok(((), None)) }).await.is_err());
    }

    #[tokio::test]
    async fn news_give_way_to_stages() {
        let (progress, mut told) = progress();
        (0..200).for_each(|n| progress.news(Stage::Shadow, n.to_string()));
        progress.stage(Stage::Publish, async { Ok(((), None)) }).await.unwrap();
        let steps: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert!(steps.len() < 64);
        assert!(matches!(steps.last(), Some(Step::Passed { stage: Stage::Publish, .. })));
    }
}
