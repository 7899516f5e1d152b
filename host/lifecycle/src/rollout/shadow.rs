//! The shadow stage: the candidate exports copies of real batches with its requests captured, and its results are
//! compared with those of the serving generation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::judge::{RolloutFinding, Score, compare};
use super::{RolloutPolicy, RolloutStopped};
use crate::batch_mirror::MirroredBatch;
use crate::change::{ChangeOutcome, SwapStage};
use barnabas_base::messages::count_noun;
use barnabas_pipeline::dispatch::Outcome;
use barnabas_runtime::capability::batch::LentBatch;
use barnabas_runtime::capability::egress::SentRequest;
use barnabas_runtime::instance::{Blueprint, ReceiverInstance};
use barnabas_runtime::limits::MAX_RETAINED_HANDLES;

/// What one of the generations did.
#[derive(Debug, Default)]
struct ShadowSide {
    score: Score,
    cpu: Duration,
    requests: u64,
    bytes: u64,
    points: u64,
    destinations: BTreeSet<String>,
}

/// The results of both generations for the same batches.
#[derive(Debug, Default)]
struct ShadowComparison {
    live: ShadowSide,
    candidate: ShadowSide,
    /// Why the candidate failed to export a batch, the last time.
    failure: Option<String>,
}

/// Compares until the time is over or the candidate is worse. Runs on the guests' runtime.
pub(crate) async fn run(
    blueprint: Arc<Blueprint>,
    mut copies: mpsc::Receiver<MirroredBatch>,
    care: RolloutPolicy,
    news: impl Fn(String) + Send,
) -> Result<String, RolloutStopped> {
    let until = Instant::now() + care.shadow;
    let (mut comparison, mut instance) = (ShadowComparison::default(), None);
    let mut reported_at = Instant::now();
    // A timeout checks its clock only while the future is not ready, and for a candidate that is slower than the
    // traffic there is always another copy ready.
    while Instant::now() < until {
        let Ok(Some(copied)) = timeout_at(until, copies.recv()).await else { break };
        instance = comparison.offer(&blueprint, instance, copied).await?;
        if let Some(stop) = comparison.to_stop(&care, false) {
            return Err(stop);
        }
        if reported_at.elapsed() > Duration::from_secs(5) {
            reported_at = Instant::now();
            news(comparison.summary());
        }
    }
    match comparison.to_stop(&care, true) {
        Some(stop) => Err(stop),
        None => Ok(comparison.summary()),
    }
}

impl ShadowComparison {
    /// Exports one batch with the candidate. Returns the instance, unless it failed.
    async fn offer(
        &mut self,
        blueprint: &Blueprint,
        instance: Option<ReceiverInstance>,
        copied: MirroredBatch,
    ) -> Result<Option<ReceiverInstance>, RolloutStopped> {
        let MirroredBatch { deliveries, departed: gone, settled, cpu, sent } = copied;
        let instance = match instance {
            Some(instance) => instance,
            None => {
                let started = ReceiverInstance::start(blueprint).await;
                started.map_err(|error| RolloutStopped::failed(SwapStage::Shadow, error.to_string()))?.0
            }
        };
        let pushes = deliveries.len() as u64;
        let (live_failed, notices_only) = ((settled.dropped + settled.returned) as u64, pushes == 0);
        let answer = instance.export(LentBatch { deliveries, gone }).await;
        let failure = answer.outcome.reason().map(|reason| match &answer.outcome {
            Outcome::Faulted(fault, _) => format!("it failed ({}): {reason}", fault.name()),
            _ => reason.to_owned(),
        });
        self.failure = failure.or(self.failure.take());
        // A batch that has only notices counts only if the receiver fails on it.
        if !notices_only {
            self.live.add(pushes, live_failed, cpu, sent);
            self.candidate.add(pushes, undelivered(&answer.outcome, pushes), answer.usage.cpu, answer.sent);
        } else if let Outcome::Faulted(fault, message) = &answer.outcome {
            let words = format!("it failed on the notice that a client is gone ({}): {message}", fault.name());
            return Err(RolloutStopped::failed(SwapStage::Shadow, words));
        }
        Ok(answer.instance.filter(|_| answer.handles <= MAX_RETAINED_HANDLES))
    }

    fn to_stop(&self, care: &RolloutPolicy, over: bool) -> Option<RolloutStopped> {
        let (verdict, reason) = match compare(self.live.score, self.candidate.score, care, over) {
            RolloutFinding::Wait | RolloutFinding::Sound => return None,
            RolloutFinding::Worse(reason) => (ChangeOutcome::RolledBack, reason),
            RolloutFinding::Inconclusive(reason) => (ChangeOutcome::Inconclusive, reason),
        };
        let failure = self.failure.as_ref().map(|failure| format!("; its last error: {failure}")).unwrap_or_default();
        Some(RolloutStopped {
            stage: SwapStage::Shadow,
            verdict,
            reason: format!("{reason} ({}){failure}", self.summary()),
        })
    }

    fn summary(&self) -> String {
        format!("live: {}; candidate: {}", self.live.summary(), self.candidate.summary())
    }
}

impl ShadowSide {
    fn add(&mut self, pushes: u64, failed: u64, cpu: Duration, sent: Vec<SentRequest>) {
        self.score.batches += 1;
        self.score.failed_batches += u64::from(failed > 0);
        self.score.pushes += pushes;
        self.score.failed += failed;
        self.cpu += cpu;
        for SentRequest { destination, bytes, points } in sent {
            self.requests += 1;
            self.bytes += bytes;
            self.points += points.unwrap_or(0);
            self.destinations.insert(destination);
        }
    }

    fn summary(&self) -> String {
        let Score { batches, pushes, failed, .. } = self.score;
        let to: Vec<_> = self.destinations.iter().take(4).map(String::as_str).collect();
        let to = if to.is_empty() { String::new() } else { format!(" to {}", to.join(", ")) };
        format!(
            "{}, {failed} of {} failed, {} µs of CPU a batch, {}{to} with {} and {}",
            count_noun(batches, "batch"),
            count_noun(pushes, "push"),
            self.cpu.as_micros() / u128::from(batches.max(1)),
            count_noun(self.requests, "request"),
            count_noun(self.bytes, "byte"),
            count_noun(self.points, "point")
        )
    }
}

/// Number of pushes that would not have been delivered.
fn undelivered(outcome: &Outcome, pushes: u64) -> u64 {
    match outcome {
        Outcome::Taken => 0,
        Outcome::Partial { rejected, retry, .. } => ((rejected.len() + retry.len()) as u64).min(pushes),
        _ => pushes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_pipeline::dispatch::{Delivery, Settlement};
    use barnabas_runtime::limits::InstanceLimits;
    use barnabas_runtime::testing;
    use barnabas_runtime::testing::TestGuest;

    fn side(failed_batches: u64) -> ShadowSide {
        let score = Score { batches: 20, failed_batches, pushes: 200, failed: failed_batches * 10 };
        ShadowSide { score, ..ShadowSide::default() }
    }

    #[test]
    fn a_worse_candidate_is_reported_with_its_last_error() {
        let failure = Some("it failed (trap): panicked at src/lib.rs:9: no unit".to_owned());
        let comparison = ShadowComparison { live: side(0), candidate: side(20), failure };
        let stop = comparison.to_stop(&RolloutPolicy::default(), false).expect("it is worse");
        assert_eq!(stop.verdict, ChangeOutcome::RolledBack);
        let said = "; its last error: it failed (trap): panicked at src/lib.rs:9: no unit";
        assert!(stop.reason.ends_with(said), "{}", stop.reason);
    }

    /// Both generations fail everything, so that there is no decision before the time is over.
    #[tokio::test]
    async fn it_ends_on_time_however_many_copies_wait() {
        let guest = TestGuest { export: testing::OTHER, ..TestGuest::default() };
        let (to, copies) = mpsc::channel(200);
        for n in 0..200 {
            let payload = Arc::new(testing::payload(&format!("c{n}"), 1));
            let deliveries = Arc::new([Delivery { payload, attempt: 1 }]);
            let settled = Settlement { returned: 1, ..Settlement::default() };
            let (departed, cpu, sent) = (Arc::default(), Duration::ZERO, Vec::new());
            to.try_send(MirroredBatch { deliveries, departed, settled, cpu, sent }).unwrap();
        }
        let care = RolloutPolicy { shadow: Duration::ZERO, ..RolloutPolicy::default() };
        let stop = run(Arc::new(guest.blueprint(InstanceLimits::default())), copies, care, |_| {}).await.unwrap_err();
        assert_eq!(stop.verdict, ChangeOutcome::Inconclusive, "{}", stop.reason);
        assert!(stop.reason.contains("live: 0 batches"), "it continued while there were copies: {}", stop.reason);
    }
}
