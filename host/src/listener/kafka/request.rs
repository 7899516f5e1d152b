//! One request, read from the bytes of its frame.
//!
//! In: a frame without its length. Out: a [`Request`] that borrows from it, or the reason why it cannot be answered
//! and its connection has to go, as Apache's broker would have it. Allocates nothing.

use super::{alter_configs, api_versions, describe_cluster, describe_configs};
use super::{find_coordinator, list_resources, metadata, sasl, telemetry};
use crate::kafka::api::Api;
use crate::kafka::wire::{Malformed, Reader};
use crate::push::InstanceId;

/// Who asks what, in which version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// As sent: perhaps not UTF-8.
    pub(crate) client_id: Option<&'a [u8]>,
}

impl Head<'_> {
    pub(crate) fn is_flexible(&self) -> bool {
        self.api.is_flexible(self.version)
    }
}

/// The request kinds we answer.
#[derive(Clone, Debug)]
pub(crate) enum Body<'a> {
    ApiVersions(Option<api_versions::Software<'a>>),
    /// A version that we do not speak: its layout is unknown, so nothing behind the correlation id was read.
    UnspokenApiVersions,
    Metadata(metadata::Topics<'a>),
    FindCoordinator,
    GetTelemetrySubscriptions(InstanceId),
    PushTelemetry(telemetry::Push<'a>),
    DescribeConfigs(describe_configs::Asked<'a>),
    IncrementalAlterConfigs(alter_configs::Asked<'a>),
    /// The type of the endpoints that are asked for.
    DescribeCluster(i8),
    ListConfigResources(list_resources::Types<'a>),
    /// The mechanism.
    SaslHandshake(&'a [u8]),
    /// The token.
    SaslAuthenticate(&'a [u8]),
}

/// A whole request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) body: Body<'a>,
}

/// A request that the protocol has no answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("request with api key {0}, which this listener does not advertise")]
    Key(i16),
    #[error("{} request of version {version}; this listener advertises {} to {}", api.name(), api.oldest(), api.newest())]
    Version { api: Api, version: i16 },
    #[error("malformed request header: {0}")]
    Header(Malformed),
    #[error("malformed {} request of version {version}: {why}", api.name())]
    Body { api: Api, version: i16, why: Malformed },
}

/// Reads a frame.
pub(crate) fn parse(frame: &[u8]) -> Result<Request<'_>, RequestError> {
    let mut reader = Reader::new(frame);
    let (key, version, correlation) = start(&mut reader).map_err(RequestError::Header)?;
    let api = Api::of_key(key).ok_or(RequestError::Key(key))?;
    let mut head = Head { api, version, correlation, client_id: None };
    if !(api.oldest()..=api.newest()).contains(&version) {
        return match api {
            Api::ApiVersions => Ok(Request { head, body: Body::UnspokenApiVersions }),
            _ => Err(RequestError::Version { api, version }),
        };
    }
    head.client_id = rest_of_header(&mut reader, head.is_flexible()).map_err(RequestError::Header)?;
    let body = body(&mut reader, &head).map_err(|why| RequestError::Body { api, version, why })?;
    Ok(Request { head, body })
}

/// A push that is too long to be read, as far as it was: enough to answer it, and to know whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong<'a> {
    pub(crate) correlation: i32,
    pub(crate) client_id: Option<&'a [u8]>,
    /// `None` where the frame's beginning ends before it.
    pub(crate) instance_id: Option<InstanceId>,
}

/// Reads the first bytes of a frame, at least eight; `None` if that is no push.
pub(crate) fn too_long(frame_start: &[u8]) -> Option<TooLong<'_>> {
    let mut reader = Reader::new(frame_start);
    let (key, version, correlation) = start(&mut reader).ok()?;
    let api = Api::PushTelemetry;
    if key != api.key() || !(api.oldest()..=api.newest()).contains(&version) {
        return None;
    }
    let client_id = rest_of_header(&mut reader, api.is_flexible(version));
    let instance_id = client_id.and_then(|_| reader.uuid("the client instance id"));
    Some(TooLong { correlation, client_id: client_id.ok().flatten(), instance_id: instance_id.ok() })
}

fn start(reader: &mut Reader<'_>) -> Result<(i16, i16, i32), Malformed> {
    Ok((reader.i16("the api key")?, reader.i16("the api version")?, reader.i32("the correlation id")?))
}

/// The client id keeps its two-byte length in flexible headers, too.
fn rest_of_header<'a>(reader: &mut Reader<'a>, flexible: bool) -> Result<Option<&'a [u8]>, Malformed> {
    let client_id = reader.nullable_text(false, "the client id")?;
    reader.skip_tags(flexible)?;
    Ok(client_id)
}

fn body<'a>(reader: &mut Reader<'a>, head: &Head<'_>) -> Result<Body<'a>, Malformed> {
    // What is left behind the body is passed over, as Apache's broker does: the frame's length says where the next
    // request begins, and librdkafka 2.12 leaves three bytes behind a Metadata request for all topics.
    Ok(match head.api {
        Api::ApiVersions => Body::ApiVersions(api_versions::read(reader, head.version)?),
        Api::Metadata => Body::Metadata(metadata::read(reader, head.version)?),
        Api::FindCoordinator => {
            find_coordinator::read(reader, head.version)?;
            Body::FindCoordinator
        }
        Api::GetTelemetrySubscriptions => Body::GetTelemetrySubscriptions(telemetry::read_get(reader)?),
        Api::PushTelemetry => Body::PushTelemetry(telemetry::read_push(reader)?),
        Api::DescribeConfigs => Body::DescribeConfigs(describe_configs::read(reader, head.version)?),
        Api::IncrementalAlterConfigs => Body::IncrementalAlterConfigs(alter_configs::read(reader, head.version)?),
        Api::DescribeCluster => Body::DescribeCluster(describe_cluster::read(reader, head.version)?),
        Api::ListConfigResources => Body::ListConfigResources(list_resources::read(reader, head.version)?),
        Api::SaslHandshake => Body::SaslHandshake(sasl::read_handshake(reader)?),
        Api::SaslAuthenticate => Body::SaslAuthenticate(sasl::read_token(reader, head.version)?),
    })
}
