//! Whole frames, length included, captured from librdkafka 2.16 and from Java's client of August 2026.

use super::unhex;

pub(super) const LIBRDKAFKA_API_VERSIONS: &str = "000000440012000300000001000b636c2d70726f64756365720017636f6e666c75656e742d6b61666b612d707974686f6e16\
    322e31362e312d72646b61666b612d322e31362e3000";
const API_VERSIONS_ANSWER: &str =
    "000000280000000100000500030000000c000012000000040000470000000000004800000000000000000000";
pub(super) const LIBRDKAFKA_METADATA: &str = "0000001a0003000c00000002000b636c2d70726f64756365720001000000";
const METADATA_ANSWER: &str = "0000003000000002000000000002000000010a3132372e302e302e3100004cf600000c6d6f636b636c757374657200000001\
    0100";
pub(super) const LIBRDKAFKA_GET: &str =
    "000000270047000000000003000b636c2d70726f6475636572000000000000000000000000000000000000";
const GET_ANSWER: &str = "000000310000000300000000000000701ae8add22a5e9ab4aa4a9cbd86a13c123456780504030102000005dc001000000102\
    022a00";
const PUSH_ANSWER: &str = "0000000c000000040000000000000000";
const PUSH_NONE: &str = "000000e00048000000000004000b636c2d70726f64756365720028e0858fd9d36f0e2274c87e5815b175123456780000b201\
    0aae0112ab010a200a16636c2d70726f64756365722370726f64756365722d311206322e31362e301286010a336f72672e61\
    70616368652e6b61666b612e70726f64756365722e636f6e6e656374696f6e2e6372656174696f6e2e746f74616c122c5468\
    6520746f74616c206e756d626572206f6620636f6e6e656374696f6e732065737461626c69736865642e3a210a1b11202b21\
    750840ea1819006aa9cd0840ea183100000000000000001001180100";
pub(super) const PUSH_ZSTD: &str = "000000d20048000000000004000b636c2d70726f647563657200b2c8027f13d1f9ec2d567e94a59b765d123456780004a401\
    28b52ffd0058d5040064080aae0112ab010a200a16636c2d70726f6475636572232d311206322e31362e301286010a336f72\
    672e6170616368652e6b61666b612e2e636f6e6e656374696f6e2e63726561746f74616c122c54686520206e756d62657220\
    6f6620732065737461626c69736865642e3a210a1b11f8b7e57b0a40ea181948f654c40a40ea183100100118010600c6e527\
    d57a97e6b18885a5c843a2340100";
const PUSH_SNAPPY: &str = "000000cd0048000000000004000b636c2d70726f647563657200ec734d992cc37e27006464c7d5788f5f1234567800029f01\
    b101540aae0112ab010a200a16636c2d70726f64756365722311097c2d311206322e31362e301286010a336f72672e617061\
    6368652e6b61666b612e11283c2e636f6e6e656374696f6e2e63726561050928746f74616c122c54686520050b28206e756d\
    626572206f6620192f7c732065737461626c69736865642e3a210a1b1180505b7f0c40ea1819984429cd0109303100000000\
    000000001001180100";
const PUSH_LZ4: &str = "000000de0048000000000004000b636c2d70726f647563657200446d68d223e7ce79314f10baf07e668f123456780003b001\
    04224d18604082a0000000f4070aae0112ab010a200a16636c2d70726f6475636572230900f4112d311206322e31362e3012\
    86010a336f72672e6170616368652e6b61666b612e2800f1012e636f6e6e656374696f6e2e637265610900b1746f74616c12\
    2c546865200b00b6206e756d626572206f66202f00f011732065737461626c69736865642e3a210a1b11385928860e40ea18\
    196015afde0900d0310000000000000000100118010000000000";
const PUSH_GZIP: &str = "000000f70048000000000004000b636c2d70726f647563657200baefb7ce90a246c47b9b5424299e0b5a123456780001c901\
    1f8b080000000000040301b1004eff0aae0112ab010a200a16636c2d70726f64756365722370726f64756365722d31120632\
    2e31362e301286010a336f72672e6170616368652e6b61666b612e70726f64756365722e636f6e6e656374696f6e2e637265\
    6174696f6e2e746f74616c122c54686520746f74616c206e756d626572206f6620636f6e6e656374696f6e73206573746162\
    6c69736865642e3a210a1b11900b188a1040ea1819388c4de51040ea1831000000000000000010011801b805685bb1000000\
    00";
pub(super) const JAVA_API_VERSIONS_5: &str = "000000370012000500000000000a6a2d70726f647563657200126170616368652d6b61666b612d6a6176610a342e352e302d\
    73726300ffffffff00";
const API_VERSIONS_5_ANSWER: &str = "0000001000000000002300000001001200000004";
const JAVA_METADATA: &str = "000000190003000c00000002000a6a2d70726f64756365720001010000";
const JAVA_GET: &str = "000000260047000000000004000a6a2d70726f6475636572000000000000000000000000000000000000";
const JAVA_PUSH: &str = "0000008d0048000000000007000a6a2d70726f647563657200cab23bc0d415b3da570169c5bedc5da0123456780000610a5e\
    0a00125a12580a336f72672e6170616368652e6b61666b612e70726f64756365722e636f6e6e656374696f6e2e6372656174\
    696f6e2e746f74616c3a210a1b1100e80c73ff3fea1819c0856ee5ff3fea182100000000000000401001180100";

use super::super::error_code;
use barnabas_base::{Codec, InstanceId};
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::request::{KafkaRequest, KafkaRequestBody, KafkaRequestHead, parse};
use barnabas_kafka_wire::{api_versions, metadata, telemetry};
use barnabas_otlp::message::MetricsData;
use barnabas_pipeline::admission::{Admitted, Refusal};
use barnabas_pipeline::decode;
use barnabas_pipeline::decode::{Decoded, Decoder};
use barnabas_pipeline::push::{Format, Ingress, Push};
use bytes::Bytes;
use prost::Message as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const REQUESTS: [&str; 12] = [
    LIBRDKAFKA_API_VERSIONS,
    LIBRDKAFKA_METADATA,
    LIBRDKAFKA_GET,
    PUSH_NONE,
    PUSH_ZSTD,
    PUSH_SNAPPY,
    PUSH_LZ4,
    PUSH_GZIP,
    JAVA_API_VERSIONS_5,
    JAVA_METADATA,
    JAVA_GET,
    JAVA_PUSH,
];

fn body_of(frame: &str) -> Vec<u8> {
    unhex(frame).split_off(4)
}

#[track_caller]
fn check(
    frame: &str,
    api: Api,
    version: i16,
    correlation: i32,
    client_id: &str,
    then: impl FnOnce(&KafkaRequestBody<'_>),
) {
    let bytes = body_of(frame);
    let KafkaRequest { head, body } = parse(&bytes).expect("a real request");
    assert_eq!((head.api, head.version, head.correlation), (api, version, correlation));
    assert_eq!(head.client_id, Some(client_id.as_bytes()));
    then(&body);
}

#[test]
fn conformance_01_librdkafka_asks_for_versions() {
    check(LIBRDKAFKA_API_VERSIONS, Api::ApiVersions, 3, 1, "cl-producer", |body| {
        let KafkaRequestBody::ApiVersions(Some(software)) = body else { panic!("{body:?}") };
        assert_eq!(api_versions::valid_software_text(software.name), Some("confluent-kafka-python"));
        assert_eq!(api_versions::valid_software_text(software.version), Some("2.16.1-rdkafka-2.16.0"));
    });
    let offered = [Api::Metadata, Api::ApiVersions, Api::GetTelemetrySubscriptions, Api::PushTelemetry];
    assert_eq!(api_versions::write(1, 3, &offered), unhex(API_VERSIONS_ANSWER));
}

#[test]
fn conformance_01_java_asks_for_versions_of_the_future() {
    let bytes = body_of(JAVA_API_VERSIONS_5);
    let request = parse(&bytes).expect("answered, whatever its version");
    assert!(matches!(request.body, KafkaRequestBody::UnsupportedApiVersions));
    assert_eq!(api_versions::write_unsupported_version(request.head.correlation), unhex(API_VERSIONS_5_ANSWER));
}

#[test]
fn conformance_11_both_ask_for_brokers() {
    for (frame, client) in [(LIBRDKAFKA_METADATA, "cl-producer"), (JAVA_METADATA, "j-producer")] {
        check(frame, Api::Metadata, 12, 2, client, |body| {
            let KafkaRequestBody::Metadata(topics) = body else { panic!("{body:?}") };
            assert_eq!(topics.iter().count(), 0);
            let head = KafkaRequestHead { api: Api::Metadata, version: 12, correlation: 2, client_id: None };
            let brokers = vec![metadata::AdvertisedBroker { node_id: 1, host: "127.0.0.1", port: 19702 }];
            let cluster = metadata::AdvertisedCluster { id: "mockcluster", brokers };
            assert_eq!(metadata::write(&head, &cluster, topics), unhex(METADATA_ANSWER));
        });
    }
}

#[test]
fn conformance_11_both_ask_for_subscriptions() {
    for (frame, correlation, client) in [(LIBRDKAFKA_GET, 3, "cl-producer"), (JAVA_GET, 4, "j-producer")] {
        check(frame, Api::GetTelemetrySubscriptions, 0, correlation, client, |body| {
            assert!(matches!(body, KafkaRequestBody::GetTelemetrySubscriptions(InstanceId::NIL)));
        });
    }
    let answer = telemetry::SubscriptionResponse {
        instance_id: "cBrordIqXpq0qkqcvYahPA".parse().unwrap(),
        id: 0x1234_5678,
        codecs: &Codec::OFFERED,
        push_interval: Duration::from_millis(1500),
        max_bytes: 1 << 20,
        delta: true,
        metrics: &["*"],
    };
    assert_eq!(telemetry::write_subscription(3, &answer), unhex(GET_ANSWER));
}

#[test]
fn conformance_11_both_push() {
    for (frame, codec, wire) in [
        (PUSH_NONE, Codec::None, 177),
        (PUSH_ZSTD, Codec::Zstd, 163),
        (PUSH_SNAPPY, Codec::Snappy, 158),
        (PUSH_LZ4, Codec::Lz4, 175),
        (PUSH_GZIP, Codec::Gzip, 200),
    ] {
        check(frame, Api::PushTelemetry, 0, 4, "cl-producer", |body| is_push(body, codec, wire));
    }
    check(JAVA_PUSH, Api::PushTelemetry, 0, 7, "j-producer", |body| is_push(body, Codec::None, 96));
    assert_eq!(telemetry::write_push(4, api::NONE), unhex(PUSH_ANSWER));
}

#[track_caller]
fn is_push(body: &KafkaRequestBody<'_>, codec: Codec, wire: usize) {
    let KafkaRequestBody::PushTelemetry(push) = body else { panic!("{body:?}") };
    assert_eq!((push.subscription_id, push.codec, push.terminating), (0x1234_5678, codec.id(), false));
    assert_eq!(push.metrics.len(), wire);
    assert!(!push.instance_id.is_reserved());
}

fn decode_frame(frame: &str, config: decode::DecodeConfig) -> Result<Decoded, Refusal> {
    let bytes = body_of(frame);
    let KafkaRequestBody::PushTelemetry(said) = parse(&bytes).expect("a real request").body else { panic!("a push") };
    let push = Push {
        client: Arc::default(),
        ingress: Ingress::Kafka,
        received_at: SystemTime::UNIX_EPOCH,
        terminating: said.terminating,
        subscription_id: Some(said.subscription_id),
        codec: said.codec,
        format: Format::Protobuf,
        wire: Bytes::copy_from_slice(said.metrics),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    };
    Decoder::new(config).decode(Admitted::declared(push).expect("a codec that is known"))
}

#[test]
fn conformance_11_every_push_contains_the_one_metric() {
    for frame in [PUSH_NONE, PUSH_ZSTD, PUSH_SNAPPY, PUSH_LZ4, PUSH_GZIP, JAVA_PUSH] {
        let decoded = decode_frame(frame, decode::DecodeConfig::default());
        let Ok(Decoded::Payload(payload)) = decoded else { panic!("{decoded:?}") };
        let data = MetricsData::decode(payload.bytes().as_ref()).expect("OTLP");
        let scopes = data.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let names: Vec<&str> = scopes.flat_map(|scope| &scope.metrics).map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["org.apache.kafka.producer.connection.creation.total"]);
    }
}

#[test]
fn conformance_09_what_is_too_large_decompressed_is_answered_118() {
    for frame in [PUSH_ZSTD, PUSH_SNAPPY, PUSH_LZ4, PUSH_GZIP] {
        assert!(
            decode_frame(frame, decode::DecodeConfig { max_output: 177, ..decode::DecodeConfig::default() }).is_ok()
        );
        let refusal = decode_frame(frame, decode::DecodeConfig { max_output: 176, ..decode::DecodeConfig::default() });
        assert_eq!(error_code(&refusal.expect_err("one byte more")), 118);
    }
}

#[test]
fn the_terminating_flag_is_read() {
    let mut bytes = body_of(PUSH_ZSTD);
    let flag = bytes.len() - 163 - 1 - 2 - 1 - 1;
    bytes[flag] = 1;
    let KafkaRequestBody::PushTelemetry(push) = parse(&bytes).unwrap().body else { panic!("a push") };
    assert!(push.terminating);
}

#[test]
fn null_metrics_are_empty_ones() {
    let bytes = body_of(PUSH_ZSTD);
    let mut null = bytes[..bytes.len() - 163 - 1 - 2].to_vec();
    null.extend([0, 0]);
    let KafkaRequestBody::PushTelemetry(push) = parse(&null).unwrap().body else { panic!("a push") };
    assert_eq!(push.metrics, b"");
}

#[test]
fn every_truncation_is_detected_and_trailing_bytes_are_ignored() {
    for frame in REQUESTS.into_iter().filter(|frame| *frame != JAVA_API_VERSIONS_5) {
        let whole = body_of(frame);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes of {frame}");
        }
        let more = [&whole[..], &[0]].concat();
        assert!(parse(&more).is_ok(), "bytes after the body are ignored: {frame}");
    }
}

#[test]
fn nothing_after_an_unsupported_version_is_read() {
    let whole = body_of(JAVA_API_VERSIONS_5);
    for len in 8..whole.len() {
        assert!(matches!(parse(&whole[..len]).unwrap().body, KafkaRequestBody::UnsupportedApiVersions));
    }
    for version in [i16::MIN, -1, 5, 6, i16::MAX] {
        let mut other = whole.clone();
        other[2..4].copy_from_slice(&version.to_be_bytes());
        other.extend([0xff; 300]);
        assert!(matches!(parse(&other).unwrap().body, KafkaRequestBody::UnsupportedApiVersions), "{version}");
    }
}
