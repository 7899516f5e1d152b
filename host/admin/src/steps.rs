//! The steps of a change as a response body: one JSON line per step, as they happen.
//!
//! In: steps. Out: `application/x-ndjson`, with an empty line as a heartbeat after ten seconds without a step, so that
//! both sides notice a broken connection. Ends after the last step; if the change ends without an outcome, the body is
//! aborted instead of completed. Never delays a step or the change, which continues when the body is dropped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use barnabas_lifecycle::change::ChangeStep;

/// Interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) struct StepStream {
    steps: Receiver<ChangeStep>,
    heartbeat: Interval,
    ended: bool,
}

impl StepStream {
    pub(super) fn new(steps: Receiver<ChangeStep>) -> Self {
        let mut silence = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { steps, heartbeat: silence, ended: false }
    }

    fn line(&mut self, step: &ChangeStep) -> io::Result<Frame<Bytes>> {
        self.ended = matches!(step, ChangeStep::Ended(_));
        self.heartbeat.reset();
        let mut line = serde_json::to_vec(step)?;
        line.push(b'\n');
        Ok(Frame::data(line.into()))
    }
}

impl Body for StepStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.steps.poll_recv(cx) {
            Poll::Ready(Some(step)) => Poll::Ready(Some(self.line(&step))),
            Poll::Ready(None) => Poll::Ready(Some(Err(io::Error::other("the change ended without an outcome")))),
            Poll::Pending => self.heartbeat.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b"\n"))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use barnabas_lifecycle::change::{ChangeOutcome, PluginChangeResult, SwapStage};

    fn ended() -> ChangeStep {
        let (plugin, message) = ("sink".into(), "it serves".into());
        let (verdict, serving, stage, grants) = (ChangeOutcome::Done, Some(2), None, Vec::new());
        ChangeStep::Ended(PluginChangeResult { plugin, verdict, serving, stage, message, grants })
    }

    async fn next(steps: &mut StepStream) -> Option<String> {
        let frame = steps.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn steps_are_lines_with_heartbeats() {
        let (sender, receiver) = mpsc::channel(4);
        let mut steps = StepStream::new(receiver);
        let news = ChangeStep::News { plugin: "sink".into(), stage: SwapStage::Canary, text: "5 of 20\nlanes".into() };
        sender.send(news.clone()).await.unwrap();
        let line = next(&mut steps).await.unwrap();
        assert_eq!((line.matches('\n').count(), serde_json::from_str::<ChangeStep>(&line).unwrap()), (1, news));
        // No step is sent, so the paused clock advances to the next timer.
        assert_eq!(next(&mut steps).await.unwrap(), "\n");
        assert_eq!(next(&mut steps).await.unwrap(), "\n");
        sender.send(ended()).await.unwrap();
        assert!(next(&mut steps).await.unwrap().contains("\"done\""));
        assert_eq!(next(&mut steps).await, None, "although the sender still exists");
    }

    #[tokio::test]
    async fn a_change_without_an_outcome_aborts_the_body() {
        let (sender, receiver) = mpsc::channel(4);
        drop(sender);
        assert!(StepStream::new(receiver).frame().await.unwrap().is_err());
    }
}
