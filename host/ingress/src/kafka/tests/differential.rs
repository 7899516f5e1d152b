//! Requests that we decode and responses that we encode, compared with an independent implementation in every supported
//! version.

use bytes::BytesMut;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, MetadataRequest, MetadataResponse,
    PushTelemetryRequest, PushTelemetryResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::request::{KafkaRequest, KafkaRequestBody, KafkaRequestHead, parse};
use barnabas_kafka_wire::{api_versions, find_coordinator, metadata, sasl, telemetry};

/// [`GIVEN`], as the other implementation's type reads it.
const GIVEN_TEXT: &str = "701ae8ad-0102-0304-0506-0708090a0b0c";

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The frame, without its length, as the other implementation encodes it.
pub(super) fn reference_request<T: Encodable>(api: Api, version: i16, body: &T) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut header = RequestHeader::default()
        .with_request_api_key(api.key())
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(text("someone")));
    if api.is_flexible(version) {
        header.unknown_tagged_fields.insert(9, bytes::Bytes::from_static(b"of the future"));
    }
    header.encode(&mut out, if api.is_flexible(version) { 2 } else { 1 }).unwrap();
    body.encode(&mut out, version).unwrap();
    out.to_vec()
}

pub(super) fn read(frame: &[u8]) -> KafkaRequest<'_> {
    let request = parse(frame).expect("their request");
    assert_eq!((request.head.correlation, request.head.client_id), (77, Some(&b"someone"[..])));
    request
}

/// Our frame, decoded by the other implementation without a rest.
pub(super) fn reference_response<T: Decodable>(frame: &[u8], header: i16, version: i16) -> T {
    let mut rest = bytes::Bytes::copy_from_slice(frame);
    let len = u32::from_be_bytes(rest.split_to(4)[..].try_into().unwrap());
    assert_eq!(len as usize, rest.len());
    assert_eq!(ResponseHeader::decode(&mut rest, header).unwrap().correlation_id, 77);
    let answer = T::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty(), "version {version} leaves {rest:?}");
    answer
}

pub(super) fn versions(api: Api) -> std::ops::RangeInclusive<i16> {
    api.min_version()..=api.max_version()
}

#[test]
fn conformance_01_api_versions_agree() {
    for version in versions(Api::ApiVersions) {
        let mut asked = ApiVersionsRequest::default();
        if version >= 3 {
            asked = asked.with_client_software_name(text("soft")).with_client_software_version(text("1.2"));
            asked.unknown_tagged_fields.insert(3, bytes::Bytes::from_static(b"more"));
        }
        let frame = reference_request(Api::ApiVersions, version, &asked);
        let KafkaRequestBody::ApiVersions(software) = read(&frame).body else { panic!("ApiVersions") };
        assert_eq!(software.map(|s| (s.name, s.version)), (version >= 3).then_some((&b"soft"[..], &b"1.2"[..])));

        let answer: ApiVersionsResponse = reference_response(&api_versions::write(77, version, &Api::ALL), 0, version);
        let ranges = answer.api_keys.iter().map(|r| (r.api_key, r.min_version, r.max_version));
        let first = [(3, 0, 12), (10, 0, 3), (17, 0, 1), (18, 0, 4), (32, 0, 4), (36, 0, 2), (44, 0, 1), (60, 0, 2)];
        let all = [&first[..], &[(71, 0, 0), (72, 0, 0), (74, 0, 1)]].concat();
        assert_eq!(ranges.collect::<Vec<_>>(), all);
        assert_eq!((answer.error_code, answer.throttle_time_ms), (0, 0));
    }
    let answer: ApiVersionsResponse = reference_response(&api_versions::write_unsupported_version(77), 0, 0);
    assert_eq!(answer.error_code, 35);
    assert_eq!(answer.api_keys.len(), 1);
}

fn one_broker_cluster() -> metadata::AdvertisedCluster<'static> {
    metadata::AdvertisedCluster {
        id: "here",
        brokers: vec![metadata::AdvertisedBroker { node_id: 5, host: "push.example", port: 9092 }],
    }
}

#[test]
fn metadata_agrees() {
    for version in versions(Api::Metadata) {
        let topic = |name: &str| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let topics = vec![topic("first"), topic(""), topic("third")];
        let asked = MetadataRequest::default()
            .with_topics(Some(topics))
            .with_include_topic_authorized_operations(version >= 8)
            .with_include_cluster_authorized_operations((8..=10).contains(&version));
        let frame = reference_request(Api::Metadata, version, &asked);
        let KafkaRequest { head, body: KafkaRequestBody::Metadata(topics) } = read(&frame) else { panic!("Metadata") };
        let cluster = one_broker_cluster();
        let written = metadata::write(&head, &cluster, &topics);
        assert!(written.len() <= topics.answer_bound() + 64, "the bound holds in version {version}");
        check_metadata(&reference_response(&written, i16::from(version >= 9), version), version);
    }
}

fn check_metadata(answer: &MetadataResponse, version: i16) {
    let [broker] = &answer.brokers[..] else { panic!("one broker") };
    assert_eq!((broker.node_id.0, &broker.host[..], broker.port), (5, "push.example", 9092));
    assert_eq!(answer.cluster_id.as_deref(), (version >= 2).then_some("here"));
    assert_eq!(answer.controller_id.0, if version >= 1 { 5 } else { -1 });
    let names: Vec<_> = answer.topics.iter().map(|t| t.name.as_ref().map(|n| n.to_string())).collect();
    assert_eq!(names, [Some("first".into()), Some(String::new()), Some("third".into())]);
    assert!(answer.topics.iter().all(|t| t.error_code == api::UNKNOWN_TOPIC_OR_PARTITION && t.partitions.is_empty()));
}

#[test]
fn metadata_of_all_topics_is_of_none() {
    for version in versions(Api::Metadata) {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let frame = reference_request(Api::Metadata, version, &MetadataRequest::default().with_topics(all));
        let KafkaRequest { head, body: KafkaRequestBody::Metadata(topics) } = read(&frame) else { panic!("Metadata") };
        let cluster = one_broker_cluster();
        let written = metadata::write(&head, &cluster, &topics);
        let answer: MetadataResponse = reference_response(&written, i16::from(version >= 9), version);
        assert!(answer.topics.is_empty());
    }
}

#[test]
fn a_topic_known_by_id_only_is_unknown_by_id() {
    let id = [7; 16];
    let mut body = vec![2];
    body.extend(id);
    body.extend([0; 5]);
    let frame = request(3, 12, true, 77, &body);
    let parsed = parse(&frame[4..]).unwrap();
    let KafkaRequestBody::Metadata(topics) = parsed.body else { panic!("Metadata") };
    let cluster = one_broker_cluster();
    let answer: MetadataResponse = reference_response(&metadata::write(&parsed.head, &cluster, &topics), 1, 12);
    assert_eq!((answer.topics[0].error_code, &answer.topics[0].name), (api::UNKNOWN_TOPIC_ID, &None));
    assert_eq!(answer.topics[0].topic_id.as_bytes(), &id);
}

#[test]
fn find_coordinator_agrees() {
    for version in versions(Api::FindCoordinator) {
        let asked = FindCoordinatorRequest::default().with_key(text("group"));
        let frame = reference_request(Api::FindCoordinator, version, &asked);
        let KafkaRequest { head, body: KafkaRequestBody::FindCoordinator } = read(&frame) else {
            panic!("FindCoordinator")
        };
        let written = find_coordinator::write(&head);
        let answer: FindCoordinatorResponse = reference_response(&written, i16::from(version >= 3), version);
        assert_eq!((answer.error_code, answer.node_id.0, answer.port), (15, -1, -1));
        assert_eq!(answer.error_message.is_some_and(|words| !words.is_empty()), version >= 1);
    }
}

#[test]
fn telemetry_agrees() {
    let asked = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(GIVEN_TEXT.parse().unwrap());
    let frame = reference_request(Api::GetTelemetrySubscriptions, 0, &asked);
    let KafkaRequestBody::GetTelemetrySubscriptions(id) = read(&frame).body else { panic!("Get") };
    assert_eq!(id, GIVEN);

    let asked = PushTelemetryRequest::default()
        .with_client_instance_id(GIVEN_TEXT.parse().unwrap())
        .with_subscription_id(-5)
        .with_terminating(true)
        .with_compression_type(4)
        .with_metrics(bytes::Bytes::from_static(b"metrics"));
    let frame = reference_request(Api::PushTelemetry, 0, &asked);
    let KafkaRequestBody::PushTelemetry(push) = read(&frame).body else { panic!("Push") };
    let expected = telemetry::PushTelemetryBody {
        instance_id: GIVEN,
        subscription_id: -5,
        terminating: true,
        codec: 4,
        metrics: b"metrics",
    };
    assert_eq!(push, expected);

    let answer: PushTelemetryResponse = reference_response(&telemetry::write_push(77, 118), 1, 0);
    assert_eq!((answer.error_code, answer.throttle_time_ms), (118, 0));
}

#[test]
fn answers_to_get_agree() {
    let prefixes = ["org.apache.kafka.producer.", ""];
    let written = telemetry::write_subscription(
        77,
        &telemetry::SubscriptionResponse {
            instance_id: GIVEN,
            id: -1,
            codecs: &Codec::OFFERED,
            push_interval: Duration::from_secs(60 * 60 * 24 * 365),
            max_bytes: u32::MAX,
            delta: true,
            metrics: &prefixes,
        },
    );
    let answer: GetTelemetrySubscriptionsResponse = reference_response(&written, 1, 0);
    assert_eq!((answer.error_code, answer.subscription_id, answer.delta_temporality), (0, -1, true));
    assert_eq!((answer.push_interval_ms, answer.telemetry_max_bytes), (i32::MAX, i32::MAX));
    assert_eq!(answer.client_instance_id.as_bytes(), GIVEN.as_bytes());
    assert_eq!(answer.accepted_compression_types, [4, 3, 1, 2]);
    assert_eq!(answer.requested_metrics, prefixes.map(text));

    let refused: GetTelemetrySubscriptionsResponse =
        reference_response(&telemetry::write_subscription_error(77, 89), 1, 0);
    assert_eq!(refused, GetTelemetrySubscriptionsResponse::default().with_error_code(89));
}

#[test]
fn a_request_one_version_too_new_is_not_guessed_at() {
    for api in Api::ALL.into_iter().filter(|api| *api != Api::ApiVersions) {
        let head = KafkaRequestHead { api, version: api.max_version() + 1, correlation: 1, client_id: None };
        let frame = request(api.key(), head.version, true, 1, &[0; 64]);
        let refusal = parse(&frame[4..]).expect_err("not advertised");
        assert!(refusal.to_string().contains(api.name()), "{refusal}");
    }
}

#[test]
fn sasl_handshake_agrees() {
    use barnabas_auth::SaslMechanism::{OAuthBearer, ScramSha512};
    for version in versions(Api::SaslHandshake) {
        let asked = SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-512"));
        let frame = reference_request(Api::SaslHandshake, version, &asked);
        let KafkaRequestBody::SaslHandshake(mechanism) = read(&frame).body else { panic!("SaslHandshake") };
        assert_eq!(mechanism, b"SCRAM-SHA-512");
        for enabled in [&[][..], &[ScramSha512.name(), OAuthBearer.name()]] {
            let written = sasl::write_handshake(77, api::UNSUPPORTED_SASL_MECHANISM, enabled);
            let answer: SaslHandshakeResponse = reference_response(&written, 0, version);
            assert_eq!(answer.error_code, 33);
            let names: Vec<_> = answer.mechanisms.iter().map(|name| name.to_string()).collect();
            assert_eq!(names, enabled);
        }
    }
}

#[test]
fn sasl_authenticate_agrees() {
    for version in versions(Api::SaslAuthenticate) {
        for token in [&b""[..], b"\0alice\0secret"] {
            let mut asked = SaslAuthenticateRequest::default().with_auth_bytes(bytes::Bytes::from_static(token));
            if version >= 2 {
                asked.unknown_tagged_fields.insert(3, bytes::Bytes::from_static(b"more"));
            }
            let frame = reference_request(Api::SaslAuthenticate, version, &asked);
            let KafkaRequest { head, body: KafkaRequestBody::SaslAuthenticate(read) } = read(&frame) else {
                panic!("SaslAuthenticate")
            };
            assert_eq!(read, token);
            let reply = sasl::SaslReply { error: 58, message: Some("no"), token: token.to_vec(), lifetime: 1 << 40 };
            let answer: SaslAuthenticateResponse =
                reference_response(&sasl::write_reply(&head, &reply), i16::from(version >= 2), version);
            assert_eq!(
                (answer.error_code, answer.error_message.as_deref(), &answer.auth_bytes[..]),
                (58, Some("no"), token)
            );
            assert_eq!(answer.session_lifetime_ms, if version >= 1 { 1 << 40 } else { 0 });
            let answer: SaslAuthenticateResponse = reference_response(
                &sasl::write_reply(&head, &sasl::SaslReply::default()),
                i16::from(version >= 2),
                version,
            );
            assert_eq!((answer.error_code, answer.error_message), (0, None));
        }
    }
}
