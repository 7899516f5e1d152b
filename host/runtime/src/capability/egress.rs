//! Outgoing HTTP requests of receivers: `wasi:http` behind a guard.
//!
//! In: a request of a guest. Out: the response, or an [`EgressError`] that the guest can match on.
//!
//! The operator must grant a destination by name and port ([`Grants`]). Each address that the name resolves to is
//! checked again at dial time, and the host dials the checked address and never resolves the name a second time.
//!
//! Bounded: the concurrent requests, the size of a response, and every wait. Everything that a call of a guest starts
//! ends with the call at the latest, whatever handles the guest keeps.
//!
//! Each plugin has its own client, because connections are pooled by scheme and authority only. The grants of a client
//! never change, so a pooled connection was checked by the same rules as a new one. The client follows no redirects,
//! reads no proxy settings and stores no cookies.
//!
//! ```
//! use barnabas_runtime::capability::egress::Grants;
//! let grants = Grants::parse(&["otel.example.org:4318".into()], &[]).expect("valid grants");
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

/// The body of a request from a guest.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
/// The body of a response to a guest.
pub type ResponseBody = UnsyncBoxBody<Bytes, EgressError>;

/// What happens to the requests of a plugin.
#[derive(Clone, Debug)]
pub enum EgressMode {
    /// They are sent to their destination.
    Send,
    /// They are recorded and not sent, and get a prepared response. Whether they were granted is recorded; the grants
    /// are enforced only with [`RequestCapture::enforcing_grants`].
    Capture(Arc<RequestCapture>),
}

/// The default number of concurrent requests of a plugin.
pub const DEFAULT_MAX_REQUESTS: usize = 16;

/// The limits on the requests of a plugin.
#[derive(Clone, Debug)]
pub struct EgressLimits {
    /// The maximum number of concurrent requests of all instances. A request counts until its response is read. One
    /// more request waits for the duration of `connect`, and then fails.
    pub requests: usize,
    /// The maximum size of one response body in bytes.
    pub response_bytes: usize,
    /// The default timeouts for a guest that sets none.
    pub timeouts: EgressTimeouts,
    /// The upper bound for each timeout, whatever the guest sets.
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

/// The timeouts of a request, as in `wasi:http`. `None` means the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct EgressTimeouts {
    /// The timeout for a connection, including name resolution and TLS.
    pub connect: Option<Duration>,
    /// The timeout for the head of the response, from the moment when the connection is established.
    pub first_byte: Option<Duration>,
    /// The timeout for the next chunk of the body.
    pub between_bytes: Option<Duration>,
}

/// The options of an [`Egress`].
#[derive(Clone)]
pub struct EgressOptions {
    /// The limits on requests.
    pub limits: EgressLimits,
    /// Which root certificates are trusted.
    pub trust: Trust,
    /// The resolver of host names.
    pub resolve: Arc<dyn Resolve>,
    /// The addresses of the host itself. Its admin endpoint is never dialled, whatever the grants are.
    pub self_addresses: SelfAddresses,
    /// The cache that records the responses of destinations.
    pub responses: Arc<ResponseCache>,
    /// The tap that records each request and its response, for `plugin run`.
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
    /// Whether requests are recorded, to compare a candidate with the serving generation.
    recording: AtomicBool,
    /// The number of responses that have arrived but are not read completely.
    unread: Arc<AtomicUsize>,
}

/// The outgoing HTTP of one plugin. Clones share the client, the connection pool and the limits.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<EgressInner>,
    /// The recorder of one instance.
    recorder: RequestRecorder,
    /// The calls of the same instance.
    calls: Calls,
}

impl Egress {
    /// With the default limits, and the root certificates and the resolver of the platform.
    pub fn new(slot: Arc<str>, grants: Arc<Grants>, mode: EgressMode, events: Events) -> Self {
        Self::with_options(slot, grants, mode, events, EgressOptions::default())
    }

    /// With these options.
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

    /// The destinations that the plugin may reach.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.inner.grants
    }

    /// The same egress for one instance: its requests are recorded separately from those of other instances, and end
    /// with its calls.
    pub fn for_instance(&self) -> Self {
        Self { inner: self.inner.clone(), recorder: RequestRecorder::default(), calls: Calls::default() }
    }

    /// Ends a call of this instance, and cancels every request that the call left open. Returns a sentence about the
    /// last destination that was denied to it.
    pub fn end_call(&self) -> Option<String> {
        self.calls.end()
    }

    /// The number of requests of all instances that are in flight.
    pub fn in_flight(&self) -> usize {
        self.inner.limits.requests.saturating_sub(self.inner.permits.available_permits())
    }

    /// Starts or stops the recording of the requests of all instances.
    pub fn set_recording(&self, recording: bool) {
        self.inner.recording.store(recording, Ordering::Relaxed);
    }

    /// Takes the requests that this instance has sent since the last call. It is empty unless recording is on.
    pub fn take_sent(&self) -> Vec<SentRequest> {
        self.recorder.take()
    }

    /// Sends a request if it is granted. Dropping the future or the body of the response cancels the request, and so
    /// does the end of the current call (see [`Self::end_call`]).
    pub fn send(
        &self,
        request: Request<RequestBody>,
        timeouts: EgressTimeouts,
    ) -> impl Future<Output = Result<Response<ResponseBody>, EgressError>> + Send + use<> {
        // Taken now and not at the first poll, which may be after the end of the call.
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
                tracing::debug!(plugin = %self.inner.slot, %error, "outgoing request failed");
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

    /// Waits for a permit for one more concurrent request.
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

    /// Refuses a request that was not granted, and sets the Host header to the authority that the grant was checked
    /// for.
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
        // A guest may never read an empty body, so the permit must not depend on it.
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
