//! The progress of a swap: reported step by step to its caller, shown in the status, and the place where it is aborted.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::RolloutStopped;
use crate::change::{ChangeOutcome, ChangeStep, SwapStage};
use barnabas_base::digest::Digest;
use barnabas_pipeline::event::{EventData, Events, Topic};

/// Capacity of the queue of steps for a slow reader. Stages and the result are few; progress messages are dropped
/// first.
pub(crate) const STEP_QUEUE: usize = 64;
/// Capacity that progress messages leave free for stages and the result.
const RESERVED_FOR_STAGES: usize = 32;

/// Sends steps to the caller of a change, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepSender(Option<mpsc::Sender<ChangeStep>>);

impl StepSender {
    pub(crate) fn new(steps: mpsc::Sender<ChangeStep>) -> Self {
        Self(Some(steps))
    }

    /// Sends a step without waiting: a slow reader misses progress messages.
    pub(crate) fn send(&self, step: ChangeStep) {
        let Some(steps) = &self.0 else { return };
        if !matches!(step, ChangeStep::News { .. }) || steps.capacity() > RESERVED_FOR_STAGES {
            let _ = steps.try_send(step);
        }
    }
}

/// A swap in progress, as shown in the status.
#[derive(Clone, Debug, Serialize)]
pub struct RolloutStatus {
    /// The candidate's number.
    pub generation: u64,
    /// The digest of its artifact, once it is known.
    pub digest: Option<Digest>,
    /// The current stage.
    pub stage: Option<SwapStage>,
    /// The passed stages.
    pub stages: Vec<PassedStage>,
    /// The last progress message of a long stage.
    pub news: Option<String>,
    /// When the swap began.
    #[serde(rename = "since_unix_seconds", serialize_with = "barnabas_base::units::unix_seconds")]
    pub since: SystemTime,
}

/// A stage that was passed.
#[derive(Clone, Debug, Serialize)]
pub struct PassedStage {
    /// The stage.
    pub stage: SwapStage,
    /// How long it took.
    #[serde(rename = "took_seconds", serialize_with = "barnabas_base::units::seconds")]
    pub took: Duration,
    /// A remark about it.
    pub note: Option<String>,
}

/// One swap. Shared by the task that runs it and the readers of the status.
pub(crate) struct SwapProgress {
    plugin: Arc<str>,
    generation: u64,
    teller: StepSender,
    events: Events,
    status: Mutex<RolloutStatus>,
    abort: watch::Sender<Option<String>>,
    for_good: AtomicBool,
    /// The imports of the candidate's artifact that need a grant.
    grantable_imports: Mutex<Vec<String>>,
}

impl SwapProgress {
    pub(crate) fn new(plugin: Arc<str>, generation: u64, teller: StepSender, events: Events) -> Self {
        let since = SystemTime::now();
        let shown = RolloutStatus { generation, digest: None, stage: None, stages: Vec::new(), news: None, since };
        Self {
            plugin,
            generation,
            teller,
            events,
            status: Mutex::new(shown),
            abort: watch::Sender::new(None),
            for_good: AtomicBool::new(false),
            grantable_imports: Mutex::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn status(&self) -> RolloutStatus {
        self.with_status(|shown| shown.clone())
    }

    /// Sets the digest of the candidate's artifact.
    pub(crate) fn set_digest(&self, digest: Digest) {
        self.with_status(|shown| shown.digest = Some(digest));
    }

    /// Sets the imports that need a grant, once they are known.
    pub(crate) fn set_grantable_imports(&self, asks: Vec<String>) {
        *self.grantable_imports.lock().unwrap_or_else(PoisonError::into_inner) = asks;
    }

    pub(crate) fn grantable_imports(&self) -> Vec<String> {
        self.grantable_imports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Aborts the swap, if the candidate is not published yet.
    pub(crate) fn abort(&self, why: &str) {
        self.abort.send_if_modified(|known| known.is_none() && known.replace(why.to_owned()).is_none());
    }

    /// Runs one stage, which is cancelled if the swap is aborted.
    pub(crate) async fn run_stage<T>(
        &self,
        stage: SwapStage,
        work: impl Future<Output = Result<(T, Option<String>), RolloutStopped>>,
    ) -> Result<T, RolloutStopped> {
        let mut aborted = self.abort.subscribe();
        self.begin(stage);
        let begun = Instant::now();
        let done = tokio::select! {
            biased;
            why = aborted.wait_for(Option::is_some) => {
                let reason = why.ok().and_then(|why| why.clone()).unwrap_or_default();
                return Err(RolloutStopped { stage, verdict: ChangeOutcome::Aborted, reason });
            }
            done = work => done,
        };
        let (value, note) = done?;
        self.record_passed(stage, begun.elapsed(), note);
        Ok(value)
    }

    /// Runs a stage that cannot be aborted, since the new generation serves already.
    pub(crate) async fn run_stage_to_end<T>(
        &self,
        stage: SwapStage,
        work: impl Future<Output = (T, Option<String>)>,
    ) -> T {
        self.begin(stage);
        let begun = Instant::now();
        let (value, note) = work.await;
        self.record_passed(stage, begun.elapsed(), note);
        value
    }

    pub(crate) fn report(&self, stage: SwapStage, text: String) {
        self.with_status(|shown| shown.news = Some(text.clone()));
        self.teller.send(ChangeStep::News { plugin: self.plugin.to_string(), stage, text });
    }

    /// Aborts the swap and refuses its candidate, so that it is not tried again automatically.
    pub(crate) fn abort_for_good(&self, why: &str) {
        self.for_good.store(true, Ordering::SeqCst);
        self.abort(why);
    }

    pub(crate) fn is_aborted_for_good(&self) -> bool {
        self.for_good.load(Ordering::SeqCst)
    }

    fn begin(&self, stage: SwapStage) {
        self.with_status(|shown| (shown.stage, shown.news) = (Some(stage), None));
    }

    fn record_passed(&self, stage: SwapStage, took: Duration, note: Option<String>) {
        self.with_status(|shown| shown.stages.push(PassedStage { stage, took, note: note.clone() }));
        self.events.emit(Topic::PluginStage, || EventData::PluginStage {
            slot: self.plugin.clone(),
            stage: stage.as_str(),
            took,
        });
        let (plugin, generation) = (self.plugin.to_string(), self.generation);
        self.teller.send(ChangeStep::Passed { plugin, generation, stage, took, note });
    }

    fn with_status<T>(&self, look: impl FnOnce(&mut RolloutStatus) -> T) -> T {
        look(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> (SwapProgress, mpsc::Receiver<ChangeStep>) {
        let (steps, received) = mpsc::channel(STEP_QUEUE);
        (SwapProgress::new("sink".into(), 2, StepSender::new(steps), Events::new()), received)
    }

    #[tokio::test]
    async fn a_passed_stage_is_sent_and_shown() {
        let (progress, mut steps) = progress();
        let value = progress.run_stage(SwapStage::Fetch, async { Ok((7, Some("a file".into()))) }).await;
        assert_eq!(value, Ok(7));
        let Some(ChangeStep::Passed { stage: SwapStage::Fetch, generation: 2, note: Some(_), .. }) = steps.recv().await
        else {
            panic!("no step was sent")
        };
        assert_eq!(progress.status().stages.len(), 1);
    }

    #[tokio::test]
    async fn an_abort_ends_a_stage_that_waits_and_every_later_one() {
        let (progress, _steps) = progress();
        let progress = Arc::new(progress);
        let waits = tokio::spawn({
            let progress = progress.clone();
            async move { progress.run_stage::<()>(SwapStage::Canary, std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        progress.abort("asked to");
        progress.abort("asked again");
        let stop = waits.await.unwrap().unwrap_err();
        assert_eq!((stop.verdict, &*stop.reason), (ChangeOutcome::Aborted, "asked to"));
        assert!(progress.run_stage(SwapStage::Publish, async { Ok(((), None)) }).await.is_err());
    }

    #[tokio::test]
    async fn news_give_way_to_stages() {
        let (progress, mut steps) = progress();
        (0..200).for_each(|n| progress.report(SwapStage::Shadow, n.to_string()));
        progress.run_stage(SwapStage::Publish, async { Ok(((), None)) }).await.unwrap();
        let sent: Vec<_> = std::iter::from_fn(|| steps.try_recv().ok()).collect();
        assert!(sent.len() < 64);
        assert!(matches!(sent.last(), Some(ChangeStep::Passed { stage: SwapStage::Publish, .. })));
    }
}
