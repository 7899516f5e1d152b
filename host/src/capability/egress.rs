//! Outgoing HTTP of receivers: `wasi:http` behind a guard.
//!
//! In: a guest's request. Out: the answer, or an [`EgressError`] that the guest can match on. A destination must be
//! granted by name and port ([`Grants`]), and each address it resolves to is judged again at dial time; what is dialled
//! is the judged address, never the name. Bounded: requests at a time, bytes of an answer, and every wait. What a call of
//! a guest begins ends with the call at the latest, whatever handles the guest keeps. One client a plugin, because connections are pooled by scheme and authority only; its grants never change, so a pooled connection
//! was judged by the same rules as a new one. Follows no redirect, reads no proxy settings, keeps no cookies.
//!
//! ```
//! use barnabas::capability::egress::Grants;
//! let grants = Grants::parse(&["otel.example.org:4318".into()], &[]).expect("well formed");
//! assert!(grants.allows("otel.example.org", 4318));
//! assert!(!grants.allows("otel.example.org", 22));
//! ```

mod address;
mod answers;
mod body;
mod calls;
mod capture;
mod dial;
mod failure;
mod grants;
mod hooks;
mod own;
mod tap;
mod target;
mod trust;
mod witness;

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::event::{EventData, Events, Topic};
use answers::{Key, Noting};
use body::{Bounded, Counted, Record};
use calls::{Answer, Call, Calls, Unread};
use target::Target;
use witness::Witness;

pub use answers::{Answers, Reply};
pub use capture::{Captured, CapturedRequest};
pub use dial::{Connector, Lookup, Resolve, SystemResolver};
pub use failure::{BoxError, EgressError};
pub use grants::Grants;
pub use own::Own;
pub use tap::{Exchange, Tap};
pub use trust::Trust;
pub use witness::Sent;

/// What a guest sends.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
/// What a guest gets to read.
pub type ResponseBody = UnsyncBoxBody<Bytes, EgressError>;

/// Where granted requests go.
#[derive(Clone, Debug)]
pub enum EgressMode {
    /// To their destination.
    Send,
    /// Nowhere: they are written down and answered with a set reply. Grants are noted, not enforced.
    Capture(Arc<Captured>),
}

/// How many requests a plugin may have under way, where its manifest names no number.
pub const REQUESTS: usize = 16;

/// What a plugin's requests may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests of all instances under way at a time, answers being read included. One more waits for `connect`, then is
    /// refused.
    pub requests: usize,
    /// Most bytes of one answer's body.
    pub response_bytes: usize,
    /// Waits of a guest that names none.
    pub times: Times,
    /// No wait is longer than this, whatever the guest names.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let times = Times {
            connect: Some(Duration::from_secs(10)),
            first_byte: Some(Duration::from_secs(30)),
            between_bytes: Some(Duration::from_secs(30)),
        };
        Self { requests: REQUESTS, response_bytes: 4 << 20, times, longest: Duration::from_secs(600) }
    }
}

/// How long to wait for what; `None` is the limit's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// For a connection, resolving and TLS included.
    pub connect: Option<Duration>,
    /// For the head of the answer, counted from when there is a connection.
    pub first_byte: Option<Duration>,
    /// For the next piece of its body.
    pub between_bytes: Option<Duration>,
}

/// How an [`Egress`] differs from the usual one.
#[derive(Clone)]
pub struct Options {
    /// What requests may cost.
    pub limits: Limits,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// How names become addresses.
    pub resolve: Arc<dyn Resolve>,
    /// The host's own addresses: the admin endpoint is never dialled, whatever the grants say.
    pub own: Own,
    /// Where what destinations answered is noted.
    pub answers: Arc<Answers>,
    /// Where requests and answers are written down for somebody who looks at each.
    pub tap: Option<Arc<Tap>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            trust: Trust::default(),
            resolve: Arc::new(SystemResolver),
            own: Own::default(),
            answers: Arc::default(),
            tap: None,
        }
    }
}

struct Shared {
    slot: Arc<str>,
    grants: Arc<Grants>,
    mode: EgressMode,
    events: Events,
    limits: Limits,
    running: Arc<Semaphore>,
    client: Client<Connector, Counted>,
    answers: Arc<Answers>,
    tap: Option<Arc<Tap>>,
    /// Whether somebody compares what is sent.
    watched: AtomicBool,
    /// Answers that came and are not read to their end.
    unread: Arc<AtomicUsize>,
}

/// One plugin's way out. Clones share client, pool and limits.
#[derive(Clone)]
pub struct Egress {
    shared: Arc<Shared>,
    /// Of one instance.
    witness: Witness,
    /// Of the same.
    calls: Calls,
}

impl Egress {
    /// With the usual limits, the platform's certificates and its resolver.
    pub fn new(slot: Arc<str>, grants: Arc<Grants>, mode: EgressMode, events: Events) -> Self {
        Self::with_options(slot, grants, mode, events, Options::default())
    }

    /// With others.
    pub fn with_options(
        slot: Arc<str>,
        grants: Arc<Grants>,
        mode: EgressMode,
        events: Events,
        options: Options,
    ) -> Self {
        let connector = Connector::new(grants.clone(), options.resolve, options.trust, options.own);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(64 * 1024)
            .build(connector);
        let running = Arc::new(Semaphore::new(options.limits.requests));
        let (limits, answers, watched) = (options.limits, options.answers, AtomicBool::new(false));
        let tap = options.tap;
        let unread = Arc::default();
        let shared = Shared { slot, grants, mode, events, limits, running, client, answers, tap, watched, unread };
        Self { shared: Arc::new(shared), witness: Witness::default(), calls: Calls::default() }
    }

    /// What it may reach.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.shared.grants
    }

    /// The same way out, for one instance: what it sends is seen apart from what others send, and ends with its calls.
    pub fn of_instance(&self) -> Self {
        Self { shared: self.shared.clone(), witness: Witness::default(), calls: Calls::default() }
    }

    /// Ends a call of this instance, and with it every request that the call left open. The last destination that was
    /// refused to it, in a sentence.
    pub fn end_call(&self) -> Option<String> {
        self.calls.end()
    }

    /// How many requests of all instances are under way.
    pub fn under_way(&self) -> usize {
        self.shared.limits.requests.saturating_sub(self.shared.running.available_permits())
    }

    /// Begins, or ends, to look into what the instances send.
    pub fn watch(&self, watched: bool) {
        self.shared.watched.store(watched, Ordering::Relaxed);
    }

    /// What this instance sent since this was last asked; nothing unless it is watched.
    pub fn sent(&self) -> Vec<Sent> {
        self.witness.take()
    }

    /// Sends a request as far as the grants let it. Dropping the future or the answer's body ends the request, and so
    /// does the end of the call at hand (see [`Self::end_call`]).
    pub fn send(
        &self,
        request: Request<RequestBody>,
        times: Times,
    ) -> impl Future<Output = Result<Response<ResponseBody>, EgressError>> + Send + use<> {
        // Now, and not when it is first polled: that may be after the call.
        let (egress, call) = (self.clone(), self.calls.current());
        async move {
            tokio::select! {
                biased;
                () = call.clone().over() => Err(EgressError::CallOver),
                result = egress.send_within(&call, request, times) => result,
            }
        }
    }

    async fn send_within(
        &self,
        call: &Call,
        request: Request<RequestBody>,
        times: Times,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut record = self.record(&request, sent.clone());
        let tapped = self.shared.tap.as_ref().and_then(|tap| tap.see(&request));
        let tee = match &tapped {
            Some(tapped) => Some(tapped.body.clone()),
            None => self.shared.watched.load(Ordering::Relaxed).then(|| self.witness.see(&request)).flatten(),
        };
        let answers = tapped.as_ref().map_or(&self.shared.answers, |tapped| &tapped.answers).clone();
        let noted = (answers, Key::of(request.method(), request.uri()));
        let request = request.map(|body| Counted::new(body, sent, tee, call));
        let result = match &self.shared.mode {
            EgressMode::Send => self.forward(request, times, &mut record).await,
            EgressMode::Capture(captured) => self.capture(request, captured).await,
        };
        if let Some(tapped) = &tapped {
            let head = result.as_ref().map(|response| (response.status(), response.headers().clone()));
            tapped.ended(head.map_err(ToString::to_string));
        }
        match result {
            Ok(response) => Ok(self.bound(call, response, times, record, noted)?),
            Err(error) => {
                tracing::debug!(slot = %self.shared.slot, %error, "outgoing request failed");
                record.end(error.name());
                error.denial(&self.shared.grants).into_iter().for_each(|sentence| call.deny(sentence));
                Err(error)
            }
        }
    }

    async fn capture(
        &self,
        request: Request<Counted>,
        captured: &Captured,
    ) -> Result<Response<RequestBody>, EgressError> {
        let target = Target::of(request.uri())?;
        let granted = self.shared.grants.allows(&target.host, target.port);
        if captured.refuses(granted) {
            return Err(EgressError::NotGranted { host: target.host, port: target.port });
        }
        Ok(captured.answer(request, granted).await.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    async fn forward(
        &self,
        mut request: Request<Counted>,
        times: Times,
        record: &mut Record,
    ) -> Result<Response<RequestBody>, EgressError> {
        self.prepare(&mut request)?;
        record.permit = Some(self.place(times).await?);
        let response = self.exchange(request, times).await?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// A place among the requests under way.
    async fn place(&self, times: Times) -> Result<OwnedSemaphorePermit, EgressError> {
        let connect = self.longest(times.connect, self.shared.limits.times.connect);
        let permit = tokio::time::timeout(connect, self.shared.running.clone().acquire_owned()).await;
        let Ok(permit) = permit else {
            let cap = self.shared.limits.requests;
            self.shared.events.emit(Topic::EgressBusy, || EventData::EgressBusy {
                slot: self.shared.slot.clone(),
                cap,
                unread: self.shared.unread.load(Ordering::Relaxed),
            });
            return Err(EgressError::Busy { cap });
        };
        Ok(permit.expect("the semaphore is never closed"))
    }

    /// Refuses what was not granted, and makes the Host header say what the grant was judged by.
    fn prepare(&self, request: &mut Request<Counted>) -> Result<(), EgressError> {
        if request.method() == Method::CONNECT {
            return Err(EgressError::Method);
        }
        let target = Target::of(request.uri())?;
        if !self.shared.grants.allows(&target.host, target.port) {
            return Err(EgressError::NotGranted { host: target.host, port: target.port });
        }
        let authority = request.uri().authority().ok_or(EgressError::Uri)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| EgressError::Uri)?;
        request.headers_mut().insert(HOST, host);
        *request.version_mut() = Version::HTTP_11;
        Ok(())
    }

    async fn exchange(&self, mut request: Request<Counted>, times: Times) -> Result<Response<Incoming>, EgressError> {
        let limits = &self.shared.limits.times;
        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.shared.client.request(request));
        tokio::select! {
            biased;
            early = &mut response => return early.map_err(EgressError::from),
            () = async { drop(connection.wait_for_connection_metadata().await) } => {}
            () = tokio::time::sleep(self.longest(times.connect, limits.connect)) => {
                return Err(EgressError::ConnectTimeout);
            }
        }
        let first_byte = self.longest(times.first_byte, limits.first_byte);
        tokio::time::timeout(first_byte, response).await.map_err(|_| EgressError::ReadTimeout)?.map_err(Into::into)
    }

    fn bound(
        &self,
        call: &Call,
        response: Response<RequestBody>,
        times: Times,
        mut record: Record,
        (answers, key): (Arc<Answers>, Key),
    ) -> Result<Response<ResponseBody>, EgressError> {
        let cap = self.shared.limits.response_bytes;
        if response.body().size_hint().lower() > cap as u64 {
            let error = EgressError::ResponseTooLarge { cap };
            record.end(error.name());
            return Err(error);
        }
        record.end(response.status().as_str());
        let between = self.longest(times.between_bytes, self.shared.limits.times.between_bytes);
        let noting = matches!(self.shared.mode, EgressMode::Send)
            .then(|| Noting::new(answers, key, response.status(), response.headers()));
        let (head, body) = response.into_parts();
        // A guest need not ask for a body that has nothing in it, so nothing may wait for that.
        let body = if body.is_end_stream() {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            let answer = Answer { body, record, noting, _unread: Unread::new(&self.shared.unread) };
            let key = call.keep(answer).ok_or(EgressError::CallOver)?;
            Bounded::new(call.clone(), key, cap, between).boxed_unsync()
        };
        Ok(Response::from_parts(head, body))
    }

    fn longest(&self, asked: Option<Duration>, usual: Option<Duration>) -> Duration {
        asked.or(usual).unwrap_or(self.shared.limits.longest).min(self.shared.limits.longest)
    }

    fn record(&self, request: &Request<RequestBody>, sent: Arc<AtomicU64>) -> Record {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        Record::new(self.shared.events.clone(), self.shared.slot.clone(), authority, sent)
    }
}
