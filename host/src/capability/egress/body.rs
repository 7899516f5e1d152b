//! Bodies with a meter in them, and the record that becomes an event when the request is over.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::answers::Noting;
use super::witness::Tee;
use super::{BoxError, EgressError, RequestBody};
use crate::event::{Events, Payload, Topic};

/// A request's body, counting what leaves.
pub(super) struct Counted {
    inner: RequestBody,
    sent: Arc<AtomicU64>,
    /// Where somebody compares.
    tee: Option<Arc<Mutex<Tee>>>,
}

impl Counted {
    pub(super) fn new(inner: RequestBody, sent: Arc<AtomicU64>, tee: Option<Arc<Mutex<Tee>>>) -> Self {
        Self { inner, sent, tee }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref) {
            self.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some(tee) = &self.tee {
                tee.lock().unwrap_or_else(PoisonError::into_inner).data(data);
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

/// One request, from the asking to the last byte of the answer. Emits its event when it is dropped, which is when the
/// guest has read the answer, given up, or been given up.
pub(super) struct Record {
    events: Events,
    slot: Arc<str>,
    authority: String,
    started: Instant,
    sent: Arc<AtomicU64>,
    status: String,
    /// Its place among the requests under way.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Record {
    pub(super) fn new(events: Events, slot: Arc<str>, authority: String, sent: Arc<AtomicU64>) -> Self {
        let status = "cancelled".to_owned();
        Self { events, slot, authority, started: Instant::now(), sent, status, permit: None }
    }

    /// How it ended, as far as is known by now.
    pub(super) fn end(&mut self, status: &str) {
        status.clone_into(&mut self.status);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.events.emit(Topic::EgressRequest, || Payload::EgressRequest {
            slot: self.slot.clone(),
            authority: std::mem::take(&mut self.authority),
            status: std::mem::take(&mut self.status),
            size: usize::try_from(self.sent.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            duration: self.started.elapsed(),
        });
    }
}

/// An answer's body: so many bytes and no more, and never silent for long.
pub(super) struct Bounded {
    inner: RequestBody,
    cap: usize,
    left: usize,
    between: Duration,
    timer: Pin<Box<Sleep>>,
    /// `None` once the body is over.
    record: Option<Record>,
    /// For those who are answered alike later.
    noting: Option<Noting>,
}

impl Bounded {
    pub(super) fn new(
        inner: RequestBody,
        cap: usize,
        between: Duration,
        record: Record,
        noting: Option<Noting>,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(between));
        Self { inner, cap, left: cap, between, timer, record: Some(record), noting }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if let Some(mut record) = self.record.take() {
            record.end(error.name());
        }
        if let Some(mut noting) = self.noting.take() {
            noting.spoil();
        }
        Poll::Ready(Some(Err(error)))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => {
                self.left = left;
                if let (Some(noting), Some(data)) = (&mut self.noting, frame.data_ref()) {
                    noting.data(data);
                }
                let deadline = Instant::now() + self.between;
                self.timer.as_mut().reset(deadline);
                Poll::Ready(Some(Ok(frame)))
            }
            None => self.fail(EgressError::ResponseTooLarge { cap: self.cap }),
        }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        if this.record.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => this.take(frame),
            Poll::Ready(Some(Err(error))) => this.fail(error.into()),
            Poll::Ready(None) => {
                this.record = None;
                this.noting = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.timer.as_mut().poll(cx));
                this.fail(EgressError::ReadTimeout)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.record.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
