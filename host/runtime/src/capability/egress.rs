//! Outgoing HTTP of receivers: `wasi:http` behind a guard.
//!
//! In: a guest's request. Out: the answer, or an [`EgressError`] that the guest can match on. A destination must be
//! granted by name and port ([`Grants`]), and each address it resolves to is judged again at dial time; what is dialled
//! is the judged address, never the name. Bounded: requests at a time, bytes of an answer, and every wait. What a call of
//! a guest begins ends with the call at the latest, whatever handles the guest keeps. One client a plugin, because connections are pooled by scheme and authority only; its grants never change, so a pooled connection
//! was judged by the same rules as a new one. Follows no redirect, reads no proxy settings, keeps no cookies.
//!
//! ```
//! use barnabas_runtime::capability::egress::Grants;
//! let grants = Grants::parse(&["otel.example.org:4318".into()], &[]).expect("well formed");
//! assert!(grants.allows("otel.example.org", 4318));
//! assert!(!grants.allows("otel.example.org", 22));
//! ```

mod address;
mod body;
mod calls;
mod capture;
mod dial;
mod error;
mod grants;
mod hooks;
mod request_recorder;
mod response_cache;
mod self_addresses;
mod tap;
mod target;
mod trust;

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

use barnabas_pipeline::event::{EventData, Events, Topic};
use body::{CountingBody, LimitedBody, RequestRecord};
use calls::{Call, Calls, OpenResponse, UnreadGuard};
use request_recorder::RequestRecorder;
use response_cache::{ResponseKey, ResponseRecorder};
use target::Target;

pub use capture::{CapturedRequest, RequestCapture};
pub use dial::{Connector, Lookup, Resolve, SystemResolver};
pub use error::{BoxError, EgressError};
pub use grants::Grants;
pub use request_recorder::SentRequest;
pub use response_cache::{RecordedResponse, ResponseCache};
pub use self_addresses::SelfAddresses;
pub use tap::{HttpExchange, Tap};
pub use trust::Trust;

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
    Capture(Arc<RequestCapture>),
}

/// How many requests a plugin may have under way, where its manifest names no number.
pub const DEFAULT_MAX_REQUESTS: usize = 16;

/// What a plugin's requests may cost.
#[derive(Clone, Debug)]
pub struct EgressLimits {
    /// Requests of all instances under way at a time, answers being read included. One more waits for `connect`, then is
    /// refused.
    pub requests: usize,
    /// Most bytes of one answer's body.
    pub response_bytes: usize,
    /// Waits of a guest that names none.
    pub timeouts: EgressTimeouts,
    /// No wait is longer than this, whatever the guest names.
    pub max_timeout: Duration,
}

impl Default for EgressLimits {
    fn default() -> Self {
        let times = EgressTimeouts {
            connect: Some(Duration::from_secs(10)),
            first_byte: Some(Duration::from_secs(30)),
            between_bytes: Some(Duration::from_secs(30)),
        };
        Self {
            requests: DEFAULT_MAX_REQUESTS,
            response_bytes: 4 << 20,
            timeouts: times,
            max_timeout: Duration::from_secs(600),
        }
    }
}

/// How long to wait for what; `None` is the limit's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct EgressTimeouts {
    /// For a connection, resolving and TLS included.
    pub connect: Option<Duration>,
    /// For the head of the answer, counted from when there is a connection.
    pub first_byte: Option<Duration>,
    /// For the next piece of its body.
    pub between_bytes: Option<Duration>,
}

/// How an [`Egress`] differs from the usual one.
#[derive(Clone)]
pub struct EgressOptions {
    /// What requests may cost.
    pub limits: EgressLimits,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// How names become addresses.
    pub resolve: Arc<dyn Resolve>,
    /// The host's own addresses: the admin endpoint is never dialled, whatever the grants say.
    pub self_addresses: SelfAddresses,
    /// Where what destinations answered is noted.
    pub responses: Arc<ResponseCache>,
    /// Where requests and answers are written down for somebody who looks at each.
    pub tap: Option<Arc<Tap>>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            limits: EgressLimits::default(),
            trust: Trust::default(),
            resolve: Arc::new(SystemResolver),
            self_addresses: SelfAddresses::default(),
            responses: Arc::default(),
            tap: None,
        }
    }
}

struct EgressInner {
    slot: Arc<str>,
    grants: Arc<Grants>,
    mode: EgressMode,
    events: Events,
    limits: EgressLimits,
    permits: Arc<Semaphore>,
    client: Client<Connector, CountingBody>,
    responses: Arc<ResponseCache>,
    tap: Option<Arc<Tap>>,
    /// Whether somebody compares what is sent.
    recording: AtomicBool,
    /// Answers that came and are not read to their end.
    unread: Arc<AtomicUsize>,
}

/// One plugin's way out. Clones share client, pool and limits.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<EgressInner>,
    /// Of one instance.
    recorder: RequestRecorder,
    /// Of the same.
    calls: Calls,
}

impl Egress {
    /// With the usual limits, the platform's certificates and its resolver.
    pub fn new(slot: Arc<str>, grants: Arc<Grants>, mode: EgressMode, events: Events) -> Self {
        Self::with_options(slot, grants, mode, events, EgressOptions::default())
    }

    /// With others.
    pub fn with_options(
        slot: Arc<str>,
        grants: Arc<Grants>,
        mode: EgressMode,
        events: Events,
        options: EgressOptions,
    ) -> Self {
        let connector = Connector::new(grants.clone(), options.resolve, options.trust, options.self_addresses);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(64 * 1024)
            .build(connector);
        let running = Arc::new(Semaphore::new(options.limits.requests));
        let (limits, answers, watched) = (options.limits, options.responses, AtomicBool::new(false));
        let tap = options.tap;
        let unread = Arc::default();
        let shared = EgressInner {
            slot,
            grants,
            mode,
            events,
            limits,
            permits: running,
            client,
            responses: answers,
            tap,
            recording: watched,
            unread,
        };
        Self { inner: Arc::new(shared), recorder: RequestRecorder::default(), calls: Calls::default() }
    }

    /// What it may reach.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.inner.grants
    }

    /// The same way out, for one instance: what it sends is seen apart from what others send, and ends with its calls.
    pub fn for_instance(&self) -> Self {
        Self { inner: self.inner.clone(), recorder: RequestRecorder::default(), calls: Calls::default() }
    }

    /// Ends a call of this instance, and with it every request that the call left open. The last destination that was
    /// refused to it, in a sentence.
    pub fn end_call(&self) -> Option<String> {
        self.calls.end()
    }

    /// How many requests of all instances are under way.
    pub fn in_flight(&self) -> usize {
        self.inner.limits.requests.saturating_sub(self.inner.permits.available_permits())
    }

    /// Begins, or ends, to look into what the instances send.
    pub fn set_recording(&self, recording: bool) {
        self.inner.recording.store(recording, Ordering::Relaxed);
    }

    /// What this instance sent since this was last asked; nothing unless it is watched.
    pub fn take_sent(&self) -> Vec<SentRequest> {
        self.recorder.take()
    }

    /// Sends a request as far as the grants let it. Dropping the future or the answer's body ends the request, and so
    /// does the end of the call at hand (see [`Self::end_call`]).
    pub fn send(
        &self,
        request: Request<RequestBody>,
        timeouts: EgressTimeouts,
    ) -> impl Future<Output = Result<Response<ResponseBody>, EgressError>> + Send + use<> {
        // Now, and not when it is first polled: that may be after the call.
        let (egress, call) = (self.clone(), self.calls.current());
        async move {
            tokio::select! {
                biased;
                () = call.clone().wait_for_end() => Err(EgressError::CallEnded),
                result = egress.send_within(&call, request, timeouts) => result,
            }
        }
    }

    async fn send_within(
        &self,
        call: &Call,
        request: Request<RequestBody>,
        timeouts: EgressTimeouts,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut record = self.record(&request, sent.clone());
        let tapped = self.inner.tap.as_ref().and_then(|tap| tap.record(&request));
        let tee = match &tapped {
            Some(tapped) => Some(tapped.body.clone()),
            None => self.inner.recording.load(Ordering::Relaxed).then(|| self.recorder.record(&request)).flatten(),
        };
        let answers = tapped.as_ref().map_or(&self.inner.responses, |tapped| &tapped.responses).clone();
        let noted = (answers, ResponseKey::new(request.method(), request.uri()));
        let request = request.map(|body| CountingBody::new(body, sent, tee, call));
        let result = match &self.inner.mode {
            EgressMode::Send => self.forward(request, timeouts, &mut record).await,
            EgressMode::Capture(captured) => self.capture(request, captured).await,
        };
        if let Some(tapped) = &tapped {
            let head = result.as_ref().map(|response| (response.status(), response.headers().clone()));
            tapped.set_head(head.map_err(ToString::to_string));
        }
        match result {
            Ok(response) => Ok(self.limit_response(call, response, timeouts, record, noted)?),
            Err(error) => {
                tracing::debug!(slot = %self.inner.slot, %error, "outgoing request failed");
                record.set_status(error.name());
                error.denial(&self.inner.grants).into_iter().for_each(|sentence| call.record_denial(sentence));
                Err(error)
            }
        }
    }

    async fn capture(
        &self,
        request: Request<CountingBody>,
        captured: &RequestCapture,
    ) -> Result<Response<RequestBody>, EgressError> {
        let target = Target::from_uri(request.uri())?;
        let granted = self.inner.grants.allows(&target.host, target.port);
        if captured.refuses(granted) {
            return Err(EgressError::NotGranted { host: target.host, port: target.port });
        }
        Ok(captured.respond(request, granted).await.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    async fn forward(
        &self,
        mut request: Request<CountingBody>,
        timeouts: EgressTimeouts,
        record: &mut RequestRecord,
    ) -> Result<Response<RequestBody>, EgressError> {
        self.prepare(&mut request)?;
        record.permit = Some(self.acquire_permit(timeouts).await?);
        let response = self.exchange(request, timeouts).await?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// A place among the requests under way.
    async fn acquire_permit(&self, timeouts: EgressTimeouts) -> Result<OwnedSemaphorePermit, EgressError> {
        let connect = self.timeout_for(timeouts.connect, self.inner.limits.timeouts.connect);
        let permit = tokio::time::timeout(connect, self.inner.permits.clone().acquire_owned()).await;
        let Ok(permit) = permit else {
            let cap = self.inner.limits.requests;
            self.inner.events.emit(Topic::EgressBusy, || EventData::EgressBusy {
                slot: self.inner.slot.clone(),
                cap,
                unread: self.inner.unread.load(Ordering::Relaxed),
            });
            return Err(EgressError::TooManyRequests { cap });
        };
        Ok(permit.expect("the semaphore is never closed"))
    }

    /// Refuses what was not granted, and makes the Host header say what the grant was judged by.
    fn prepare(&self, request: &mut Request<CountingBody>) -> Result<(), EgressError> {
        if request.method() == Method::CONNECT {
            return Err(EgressError::ForbiddenMethod);
        }
        let target = Target::from_uri(request.uri())?;
        if !self.inner.grants.allows(&target.host, target.port) {
            return Err(EgressError::NotGranted { host: target.host, port: target.port });
        }
        let authority = request.uri().authority().ok_or(EgressError::InvalidUri)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| EgressError::InvalidUri)?;
        request.headers_mut().insert(HOST, host);
        *request.version_mut() = Version::HTTP_11;
        Ok(())
    }

    async fn exchange(
        &self,
        mut request: Request<CountingBody>,
        timeouts: EgressTimeouts,
    ) -> Result<Response<Incoming>, EgressError> {
        let limits = &self.inner.limits.timeouts;
        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.inner.client.request(request));
        tokio::select! {
            biased;
            early = &mut response => return early.map_err(EgressError::from),
            () = async { drop(connection.wait_for_connection_metadata().await) } => {}
            () = tokio::time::sleep(self.timeout_for(timeouts.connect, limits.connect)) => {
                return Err(EgressError::ConnectTimeout);
            }
        }
        let first_byte = self.timeout_for(timeouts.first_byte, limits.first_byte);
        tokio::time::timeout(first_byte, response).await.map_err(|_| EgressError::ReadTimeout)?.map_err(Into::into)
    }

    fn limit_response(
        &self,
        call: &Call,
        response: Response<RequestBody>,
        timeouts: EgressTimeouts,
        mut record: RequestRecord,
        (answers, key): (Arc<ResponseCache>, ResponseKey),
    ) -> Result<Response<ResponseBody>, EgressError> {
        let cap = self.inner.limits.response_bytes;
        if response.body().size_hint().lower() > cap as u64 {
            let error = EgressError::ResponseTooLarge { cap };
            record.set_status(error.name());
            return Err(error);
        }
        record.set_status(response.status().as_str());
        let between_bytes = self.timeout_for(timeouts.between_bytes, self.inner.limits.timeouts.between_bytes);
        let recorder = matches!(self.inner.mode, EgressMode::Send)
            .then(|| ResponseRecorder::new(answers, key, response.status(), response.headers()));
        let (head, body) = response.into_parts();
        // A guest need not ask for a body that has nothing in it, so nothing may wait for that.
        let body = if body.is_end_stream() {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            let answer = OpenResponse { body, record, recorder, _unread: UnreadGuard::new(&self.inner.unread) };
            let key = call.register(answer).ok_or(EgressError::CallEnded)?;
            LimitedBody::new(call.clone(), key, cap, between_bytes).boxed_unsync()
        };
        Ok(Response::from_parts(head, body))
    }

    fn timeout_for(&self, requested: Option<Duration>, default: Option<Duration>) -> Duration {
        requested.or(default).unwrap_or(self.inner.limits.max_timeout).min(self.inner.limits.max_timeout)
    }

    fn record(&self, request: &Request<RequestBody>, sent: Arc<AtomicU64>) -> RequestRecord {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        RequestRecord::new(self.inner.events.clone(), self.inner.slot.clone(), authority, sent)
    }
}
