//! The session of one connection: answers its requests.
//!
//! Stores what the client sends once for all later requests: its software. [`Intake`](barnabas_pipeline::intake::Intake) decides
//! everything about telemetry; a panic in it is logged, and answered with an error code that the client recovers from.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::Instant;

use super::admin_handler::AdminHandler;
use super::authentication::Authentication;
use super::connection_guard::Unanswerable;
use super::push_schedule::PushSchedule;
use super::setup::PreparedConnection;
use super::{ListenerContext, advertise, cluster};
use crate::budget::Hold;
use barnabas_base::InstanceId;
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::request;
use barnabas_kafka_wire::request::{KafkaRequest, KafkaRequestBody, KafkaRequestHead, OversizedPush};
use barnabas_kafka_wire::{api_versions, describe_cluster};
use barnabas_kafka_wire::{find_coordinator, metadata, sasl, telemetry};
use barnabas_pipeline::admission::Refusal;
use barnabas_pipeline::intake::StartedPush;
use barnabas_pipeline::push::ConnectionId;
use barnabas_pipeline::push::{Client, Ingress, Push};

/// From this size on an answer is reserved in the byte budget.
const LONG_ANSWER: usize = 16 << 10;
/// Longer client ids are truncated, since they are kept as long as the client is known.
const LONGEST_CLIENT_ID: usize = 1024;

/// An answer, and the request that it belongs to.
pub(crate) struct SessionResponse {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) frame: Vec<u8>,
    /// Why the connection closes after this answer.
    pub(crate) close_reason: Option<Unanswerable>,
}

/// The state of one connection's session.
pub(crate) struct KafkaSession {
    shared: Arc<ListenerContext>,
    connection: ConnectionId,
    /// The client of the last request, shared with the pushes it sent.
    client: Arc<Client>,
    /// The address that is advertised to this client.
    advertised: (String, u16),
    authentication: Authentication,
    push_schedule: PushSchedule,
}

impl KafkaSession {
    pub(crate) fn new(
        shared: &Arc<ListenerContext>,
        connection: ConnectionId,
        peer: SocketAddr,
        opened: &PreparedConnection,
    ) -> Self {
        let source = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let listener = Some(shared.config.name.clone());
        Self {
            shared: shared.clone(),
            connection,
            client: Arc::new(Client {
                source: Some(source),
                listener,
                principal: opened.principal.clone(),
                ..Client::default()
            }),
            advertised: advertise::address_for(cluster::own_address(&shared.config), opened.local, peer),
            authentication: Authentication::new(shared.config.auth.clone()),
            push_schedule: PushSchedule::default(),
        }
    }

    /// When this client's next telemetry request is due.
    pub(crate) fn push_schedule(&self) -> PushSchedule {
        self.push_schedule
    }

    /// Whether the client has authenticated by SASL.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authentication.principal().is_some()
    }

    /// Answers one request. `hold` grows if the answer is long.
    pub(crate) async fn answer(
        &mut self,
        frame: &Bytes,
        received_at: SystemTime,
        hold: &mut Hold,
    ) -> Result<SessionResponse, Unanswerable> {
        let KafkaRequest { head, body } = request::parse(frame)?;
        self.authentication.admit(head.api, Instant::now())?;
        let (correlation, mut close_reason) = (head.correlation, None);
        let answer = match body {
            KafkaRequestBody::ApiVersions(software) => {
                self.remember_software(software);
                api_versions::write(correlation, head.version, &self.offered_apis())
            }
            KafkaRequestBody::UnsupportedApiVersions => api_versions::write_unsupported_version(correlation),
            KafkaRequestBody::Metadata(topics) => {
                let cluster = self.cluster();
                let bound = topics.answer_bound().saturating_add(cluster.answer_bound());
                if bound >= LONG_ANSWER {
                    hold.grow(bound).await;
                }
                metadata::write(&head, &cluster, &topics)
            }
            KafkaRequestBody::SaslHandshake(mechanism) => {
                let (error, enabled) = self.authentication.handshake(head.version, mechanism).await;
                let enabled: Vec<_> = enabled.iter().map(|mechanism| mechanism.name()).collect();
                sasl::write_handshake(correlation, error, &enabled)
            }
            KafkaRequestBody::SaslAuthenticate(token) => {
                let log_limiter = &self.shared.log_limiter;
                let (reply, end) =
                    self.authentication.authenticate(frame.slice_ref(token), received_at, log_limiter).await?;
                close_reason = end;
                // A client that did not authenticate by SASL may have presented a certificate.
                if let Some(principal) =
                    self.authentication.principal().filter(|it| self.client.principal.as_ref() != Some(it))
                {
                    Arc::make_mut(&mut self.client).principal = Some(principal.clone());
                }
                sasl::write_reply(&head, &reply)
            }
            KafkaRequestBody::FindCoordinator => find_coordinator::write(&head),
            KafkaRequestBody::GetTelemetrySubscriptions(id) => self.subscribe(&head, id),
            KafkaRequestBody::PushTelemetry(push) => {
                let wire = metrics_bytes(frame, push.metrics);
                let error = self.push(&head, &push, wire, received_at).await;
                self.push_schedule.push_answered(Instant::now(), error);
                telemetry::write_push(correlation, error)
            }
            // These are rare and therefore boxed: otherwise every connection would have their size.
            KafkaRequestBody::DescribeConfigs(asked) => {
                Box::pin(self.admin_handler().describe(&head, &asked, hold)).await
            }
            KafkaRequestBody::IncrementalAlterConfigs(asked) => {
                Box::pin(self.admin_handler().alter(&head, &asked, hold)).await
            }
            KafkaRequestBody::ListConfigResources(types) => {
                Box::pin(self.admin_handler().list(&head, &types, hold)).await
            }
            KafkaRequestBody::DescribeCluster(endpoints) => describe_cluster::write(&head, endpoints, &self.cluster()),
        };
        self.push_schedule.request_answered(Instant::now());
        Ok(SessionResponse { api: head.api, version: head.version, frame: answer, close_reason })
    }

    /// Answers a push above the frame cap, with the same answer for every client.
    pub(crate) fn answer_too_large(
        &mut self,
        push: &OversizedPush<'_>,
        len: usize,
    ) -> Result<SessionResponse, Unanswerable> {
        self.authentication.admit(Api::PushTelemetry, Instant::now())?;
        let refusal =
            Refusal::TooLarge(format!("a frame of {len} bytes; the limit is {}", self.shared.config.max_frame));
        let frame = telemetry::write_push(push.correlation, error_code(&refusal));
        let client = self.client(push.client_id, push.instance_id);
        // A panic is logged. "Too large" is correct in any case, and the client recovers from it.
        let _ = self.catch_panic(|| {
            self.shared.intake.record_refused(Ingress::Kafka, len, &client, self.connection, refusal);
            Ok(())
        });
        Ok(SessionResponse { api: Api::PushTelemetry, version: 0, frame, close_reason: None })
    }

    /// ApiVersions may be sent more than once; with authentication the first one has no software name.
    fn remember_software(&mut self, software: Option<api_versions::ClientSoftware<'_>>) {
        let Some(software) = software else { return };
        let known = |text| api_versions::valid_software_text(text).map(Arc::from);
        let client = Arc::make_mut(&mut self.client);
        client.software_name = known(software.name);
        client.software_version = known(software.version);
    }

    fn offered_apis(&self) -> Vec<Api> {
        let (telemetry, sasl) =
            (self.shared.intake.offers_telemetry_to(&self.client), self.authentication.is_required());
        let offered = |api: &Api| (telemetry || !api.is_telemetry()) && (sasl || !api.is_sasl());
        Api::ALL.into_iter().filter(offered).collect()
    }

    /// All hosts, as advertised to this client.
    fn cluster(&self) -> metadata::AdvertisedCluster<'_> {
        cluster::cluster_for(&self.shared.config, &self.advertised, self.client.source)
    }

    fn admin_handler(&self) -> AdminHandler<'_> {
        AdminHandler { shared: &self.shared, client: &self.client }
    }

    fn subscribe(&mut self, head: &KafkaRequestHead<'_>, id: InstanceId) -> Vec<u8> {
        let client = self.client(head.client_id, (id != InstanceId::NIL).then_some(id));
        match self.catch_panic(|| self.shared.intake.subscribe(&client, self.connection)) {
            Ok(subscription) => {
                self.push_schedule.subscription_answered(Instant::now(), subscription.push_interval);
                telemetry::write_subscription(
                    head.correlation,
                    &telemetry::SubscriptionResponse {
                        instance_id: subscription.instance_id,
                        id: subscription.id,
                        codecs: &subscription.codecs,
                        push_interval: subscription.push_interval,
                        max_bytes: subscription.max_bytes,
                        delta: subscription.delta,
                        metrics: &subscription.metrics,
                    },
                )
            }
            Err(error) => telemetry::write_subscription_error(head.correlation, error),
        }
    }

    /// Hands over a push and returns the error code of the answer.
    async fn push(
        &mut self,
        head: &KafkaRequestHead<'_>,
        body: &telemetry::PushTelemetryBody<'_>,
        wire: Bytes,
        received_at: SystemTime,
    ) -> i16 {
        let push = Push {
            client: self.client(head.client_id, Some(body.instance_id)),
            ingress: Ingress::Kafka,
            received_at,
            terminating: body.terminating,
            subscription_id: Some(body.subscription_id),
            codec: body.codec,
            format: barnabas_pipeline::push::Format::Protobuf,
            wire,
            push_interval: None,
            node_id: Some(self.shared.config.node_id),
            trace_parent: None,
        };
        let (shared, connection) = (self.shared.clone(), self.connection);
        let done = match catch_panic(&shared, || Ok(shared.intake.clone().start_push(push, connection))) {
            Err(error) => return error,
            Ok(StartedPush::Done(done)) => done,
            // This request's hold is kept until then: only a shutdown drops the connection before.
            Ok(StartedPush::Large(large)) => match large.finish(()).await {
                Ok(done) => done,
                Err(_) => return report_internal_error(&shared),
            },
        };
        done.map_or_else(|refusal| error_code(&refusal), |_| api::NONE)
    }

    /// The client as of this request; the same `Arc` if nothing has changed.
    fn client(&mut self, client_id: Option<&[u8]>, instance_id: Option<InstanceId>) -> Arc<Client> {
        let client_id = client_id.map(String::from_utf8_lossy);
        let client_id = client_id.as_deref().map(|text| {
            text.get(..text.floor_char_boundary(LONGEST_CLIENT_ID)).expect("cut on the boundary of a character")
        });
        if self.client.instance_id != instance_id {
            Arc::make_mut(&mut self.client).instance_id = instance_id;
        }
        if self.client.client_id.as_deref() != client_id {
            Arc::make_mut(&mut self.client).client_id = client_id.map(Arc::from);
        }
        self.client.clone()
    }

    fn catch_panic<T>(&self, ask: impl FnOnce() -> Result<T, Refusal>) -> Result<T, i16> {
        catch_panic(&self.shared, ask)
    }
}

/// Calls the intake and maps a refusal to its error code.
///
/// A panic in the intake is the host's fault and not the client's: closing the connection would end an older Java
/// client's telemetry for good. Every client tries again after "too soon".
fn catch_panic<T>(shared: &ListenerContext, ask: impl FnOnce() -> Result<T, Refusal>) -> Result<T, i16> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(answer) => answer.map_err(|refusal| error_code(&refusal)),
        Err(_) => Err(report_internal_error(shared)),
    }
}

fn report_internal_error(shared: &ListenerContext) -> i16 {
    tracing::error!(
        listener = %shared.config.name,
        "internal error, see the preceding log entry; the request was lost, and its client was told to retry later"
    );
    api::THROTTLING_QUOTA_EXCEEDED
}

/// The error code of a refusal.
pub fn error_code(refusal: &Refusal) -> i16 {
    match refusal {
        Refusal::InvalidRequest(_) => api::INVALID_REQUEST,
        Refusal::UnknownSubscription { .. } => api::UNKNOWN_SUBSCRIPTION_ID,
        Refusal::TooSoon { .. } | Refusal::OverQuota { .. } => api::THROTTLING_QUOTA_EXCEEDED,
        Refusal::UnsupportedCodec(_) => api::UNSUPPORTED_COMPRESSION_TYPE,
        Refusal::TooLarge(_) => api::TELEMETRY_TOO_LARGE,
        Refusal::InvalidRecord(_) => api::INVALID_RECORD,
    }
}

/// The metrics alone, copied if the frame is far larger: a queued push is counted by its own length, so it must not
/// keep a large frame alive, which may consist of unknown tags.
fn metrics_bytes(frame: &Bytes, metrics: &[u8]) -> Bytes {
    let spare = frame.len().saturating_sub(metrics.len());
    if spare > metrics.len().max(1024) { Bytes::copy_from_slice(metrics) } else { frame.slice_ref(metrics) }
}
