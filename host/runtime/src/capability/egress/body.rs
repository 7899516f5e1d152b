//! Request and response bodies that count and limit bytes, and the record that becomes an event at the end of a
//! request.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::calls::{Call, OpenResponse};
use super::request_recorder::BodyTee;
use super::response_cache::ResponseRecorder;
use super::{BoxError, EgressError, RequestBody};
use barnabas_pipeline::event::{EventData, Events, Topic};

/// The body of a request, which counts its bytes. It fails when its call ends; otherwise a guest that never finishes
/// the body would hold the connection forever.
pub(super) struct CountingBody {
    inner: RequestBody,
    sent: Arc<AtomicU64>,
    /// The copy of the body, if it is recorded.
    tee: Option<Arc<Mutex<BodyTee>>>,
    call_end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl CountingBody {
    pub(super) fn new(inner: RequestBody, sent: Arc<AtomicU64>, tee: Option<Arc<Mutex<BodyTee>>>, call: &Call) -> Self {
        Self { inner, sent, tee, call_end: Box::pin(call.clone().wait_for_end()) }
    }
}

impl Body for CountingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.call_end.as_mut().poll(cx));
            return Poll::Ready(Some(Err(EgressError::CallEnded.into())));
        };
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref) {
            self.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some(tee) = &self.tee {
                tee.lock().unwrap_or_else(PoisonError::into_inner).push_data(data);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The record of one request, from its start to the last byte of the response. It emits its event when it is dropped:
/// when the guest has read the response, has dropped it, or its call has ended.
pub(super) struct RequestRecord {
    events: Events,
    slot: Arc<str>,
    authority: String,
    started: Instant,
    sent: Arc<AtomicU64>,
    status: String,
    /// The permit of this request; it limits the concurrent requests.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl RequestRecord {
    pub(super) fn new(events: Events, slot: Arc<str>, authority: String, sent: Arc<AtomicU64>) -> Self {
        let status = "cancelled".to_owned();
        Self { events, slot, authority, started: Instant::now(), sent, status, permit: None }
    }

    /// Sets the result of the request, as far as it is known now.
    pub(super) fn set_status(&mut self, status: &str) {
        status.clone_into(&mut self.status);
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.events.emit(Topic::EgressRequest, || EventData::EgressRequest {
            slot: self.slot.clone(),
            authority: std::mem::take(&mut self.authority),
            status: std::mem::take(&mut self.status),
            size: usize::try_from(self.sent.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            duration: self.started.elapsed(),
        });
    }
}

/// The body of a response, with a limit on its size and on the wait between two chunks. The call owns the underlying
/// body, which ends with the call.
pub(super) struct LimitedBody {
    call: Call,
    /// The key of the response in its call; `None` after the end of the body.
    key: Option<u64>,
    cap: usize,
    remaining: usize,
    between_bytes: Duration,
    timer: Pin<Box<Sleep>>,
}

impl LimitedBody {
    /// Creates the body of a response that `call` has registered under `key`.
    pub(super) fn new(call: Call, key: u64, cap: usize, between_bytes: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(between_bytes));
        Self { call, key: Some(key), cap, remaining: cap, between_bytes, timer }
    }

    /// Ends the body and releases the permit of the request, even if the guest keeps its handle.
    fn finish(&mut self) -> Option<OpenResponse> {
        self.key.take().and_then(|key| self.call.remove(key))
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if let Some(mut answer) = self.finish() {
            answer.record.set_status(error.name());
            answer.recorder.iter_mut().for_each(ResponseRecorder::discard);
        }
        Poll::Ready(Some(Err(error)))
    }

    fn deliver(&mut self, key: u64, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let Some(remaining) = self.remaining.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
            return self.fail(EgressError::ResponseTooLarge { cap: self.cap });
        };
        self.remaining = remaining;
        let last = self.call.with_response(key, |answer| {
            if let (Some(noting), Some(data)) = (&mut answer.recorder, frame.data_ref()) {
                noting.push_data(data);
            }
            answer.body.is_end_stream()
        });
        if last == Some(true) {
            self.finish();
        }
        let deadline = Instant::now() + self.between_bytes;
        self.timer.as_mut().reset(deadline);
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        let Some(key) = this.key else { return Poll::Ready(None) };
        match this.call.with_response(key, |answer| Pin::new(&mut answer.body).poll_frame(cx)) {
            // A guest that kept the body past its call must not mistake the missing rest for the end.
            None => this.fail(EgressError::CallEnded),
            Some(Poll::Ready(Some(Ok(frame)))) => this.deliver(key, frame),
            Some(Poll::Ready(Some(Err(error)))) => this.fail(error.into()),
            Some(Poll::Ready(None)) => {
                this.finish();
                Poll::Ready(None)
            }
            Some(Poll::Pending) => {
                ready!(this.timer.as_mut().poll(cx));
                this.fail(EgressError::ReadTimeout)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.key.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.key.map(|key| self.call.with_response(key, |answer| answer.body.size_hint()));
        hint.map_or_else(|| SizeHint::with_exact(0), Option::unwrap_or_default)
    }
}

impl Drop for LimitedBody {
    fn drop(&mut self) {
        self.finish();
    }
}
