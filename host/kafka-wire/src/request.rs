//! Decoding of one request from its frame.
//!
//! In: a frame without its length. Out: a [`KafkaRequest`] that borrows from it, or the reason why it cannot be
//! answered and its connection closes, as with Apache Kafka's broker. Allocates nothing.

use super::{alter_configs, api_versions, describe_cluster, describe_configs};
use super::{find_coordinator, list_resources, metadata, sasl, telemetry};
use crate::api::Api;
use crate::wire::{Malformed, WireReader};
use barnabas_base::InstanceId;

/// The header of a request.
#[derive(Clone, Copy, Debug)]
pub struct KafkaRequestHead<'a> {
    /// The request key.
    pub api: Api,
    /// The version of the request.
    pub version: i16,
    /// The correlation id, which the response repeats.
    pub correlation: i32,
    /// As sent: possibly not UTF-8.
    pub client_id: Option<&'a [u8]>,
}

impl KafkaRequestHead<'_> {
    /// Whether this version has compact strings and tagged fields (KIP-482).
    pub fn is_flexible(&self) -> bool {
        self.api.is_flexible(self.version)
    }
}

/// The supported requests.
#[derive(Clone, Debug)]
pub enum KafkaRequestBody<'a> {
    /// Kafka's ApiVersions request.
    ApiVersions(Option<api_versions::ClientSoftware<'a>>),
    /// A version that is not supported: its layout is unknown, so nothing after the correlation id was read.
    UnsupportedApiVersions,
    /// Kafka's Metadata request.
    Metadata(metadata::RequestedTopics<'a>),
    /// Kafka's FindCoordinator request.
    FindCoordinator,
    /// Kafka's GetTelemetrySubscriptions request.
    GetTelemetrySubscriptions(InstanceId),
    /// Kafka's PushTelemetry request.
    PushTelemetry(telemetry::PushTelemetryBody<'a>),
    /// Kafka's DescribeConfigs request.
    DescribeConfigs(describe_configs::DescribeConfigsBody<'a>),
    /// Kafka's IncrementalAlterConfigs request.
    IncrementalAlterConfigs(alter_configs::AlterConfigsBody<'a>),
    /// The requested endpoint type.
    DescribeCluster(i8),
    /// Kafka's ListConfigResources request.
    ListConfigResources(list_resources::ResourceTypes<'a>),
    /// The mechanism.
    SaslHandshake(&'a [u8]),
    /// The token.
    SaslAuthenticate(&'a [u8]),
}

/// A complete request.
#[derive(Clone, Debug)]
pub struct KafkaRequest<'a> {
    /// Key, version, correlation id and client id.
    pub head: KafkaRequestHead<'a>,
    /// The body, by request key.
    pub body: KafkaRequestBody<'a>,
}

/// A request that the protocol has no response to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A request key that the host does not answer.
    #[error("request with API key {0}, which this listener does not advertise")]
    UnknownApi(i16),
    /// A version of the request that the host does not answer.
    #[error("{} request of version {version}; this listener advertises {} to {}", api.name(), api.min_version(), api.max_version())]
    UnsupportedVersion {
        /// The request key.
        api: Api,
        /// The version of the request.
        version: i16,
    },
    /// The header cannot be read.
    #[error("malformed request header: {0}")]
    MalformedHeader(Malformed),
    /// The body cannot be read.
    #[error("malformed {} request of version {version}: {why}", api.name())]
    MalformedBody {
        /// The request key.
        api: Api,
        /// The version of the request.
        version: i16,
        /// What is malformed.
        why: Malformed,
    },
}

/// Decodes a frame.
pub fn parse(frame: &[u8]) -> Result<KafkaRequest<'_>, RequestError> {
    let mut reader = WireReader::new(frame);
    let (key, version, correlation) = read_prefix(&mut reader).map_err(RequestError::MalformedHeader)?;
    let api = Api::from_key(key).ok_or(RequestError::UnknownApi(key))?;
    let mut head = KafkaRequestHead { api, version, correlation, client_id: None };
    if !(api.min_version()..=api.max_version()).contains(&version) {
        return match api {
            Api::ApiVersions => Ok(KafkaRequest { head, body: KafkaRequestBody::UnsupportedApiVersions }),
            _ => Err(RequestError::UnsupportedVersion { api, version }),
        };
    }
    head.client_id = read_client_id(&mut reader, head.is_flexible()).map_err(RequestError::MalformedHeader)?;
    let body = read_body(&mut reader, &head).map_err(|why| RequestError::MalformedBody { api, version, why })?;
    Ok(KafkaRequest { head, body })
}

/// A push that exceeds the frame cap, as far as it was read: enough to answer it and to identify its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OversizedPush<'a> {
    /// The correlation id, which the response repeats.
    pub correlation: i32,
    /// The client id, as sent: perhaps not UTF-8.
    pub client_id: Option<&'a [u8]>,
    /// `None` if the bytes that were read end before it.
    pub instance_id: Option<InstanceId>,
}

/// Decodes the first bytes of a frame, at least eight; `None` if it is not a push.
pub fn oversized_push(frame_start: &[u8]) -> Option<OversizedPush<'_>> {
    let mut reader = WireReader::new(frame_start);
    let (key, version, correlation) = read_prefix(&mut reader).ok()?;
    let api = Api::PushTelemetry;
    if key != api.key() || !(api.min_version()..=api.max_version()).contains(&version) {
        return None;
    }
    let client_id = read_client_id(&mut reader, api.is_flexible(version));
    let instance_id = client_id.and_then(|_| reader.uuid("the client instance id"));
    Some(OversizedPush { correlation, client_id: client_id.ok().flatten(), instance_id: instance_id.ok() })
}

fn read_prefix(reader: &mut WireReader<'_>) -> Result<(i16, i16, i32), Malformed> {
    Ok((reader.i16("the api key")?, reader.i16("the api version")?, reader.i32("the correlation id")?))
}

/// The client id has a two-byte length in flexible headers, too.
fn read_client_id<'a>(reader: &mut WireReader<'a>, flexible: bool) -> Result<Option<&'a [u8]>, Malformed> {
    let client_id = reader.nullable_text(false, "the client id")?;
    reader.skip_tags(flexible)?;
    Ok(client_id)
}

fn read_body<'a>(reader: &mut WireReader<'a>, head: &KafkaRequestHead<'_>) -> Result<KafkaRequestBody<'a>, Malformed> {
    // Bytes that follow the body are ignored, as Apache Kafka's broker does: the frame's length determines where the
    // next request begins, and librdkafka 2.12 sends three extra bytes after a Metadata request for all topics.
    Ok(match head.api {
        Api::ApiVersions => KafkaRequestBody::ApiVersions(api_versions::read(reader, head.version)?),
        Api::Metadata => KafkaRequestBody::Metadata(metadata::read(reader, head.version)?),
        Api::FindCoordinator => {
            find_coordinator::read(reader, head.version)?;
            KafkaRequestBody::FindCoordinator
        }
        Api::GetTelemetrySubscriptions => {
            KafkaRequestBody::GetTelemetrySubscriptions(telemetry::read_get_subscriptions(reader)?)
        }
        Api::PushTelemetry => KafkaRequestBody::PushTelemetry(telemetry::read_push(reader)?),
        Api::DescribeConfigs => KafkaRequestBody::DescribeConfigs(describe_configs::read(reader, head.version)?),
        Api::IncrementalAlterConfigs => {
            KafkaRequestBody::IncrementalAlterConfigs(alter_configs::read(reader, head.version)?)
        }
        Api::DescribeCluster => KafkaRequestBody::DescribeCluster(describe_cluster::read(reader, head.version)?),
        Api::ListConfigResources => KafkaRequestBody::ListConfigResources(list_resources::read(reader, head.version)?),
        Api::SaslHandshake => KafkaRequestBody::SaslHandshake(sasl::read_handshake(reader)?),
        Api::SaslAuthenticate => KafkaRequestBody::SaslAuthenticate(sasl::read_token(reader, head.version)?),
    })
}
