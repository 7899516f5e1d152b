//! For arbitrary bytes of a frame: it is parsed or rejected without a panic; parsed parts lie within the frame; and
//! every response is a complete frame within its size limit.
#![no_main]

use std::time::Duration;

use barnabas_base::Codec;
use barnabas_kafka_wire::api::{self, Api};
use barnabas_kafka_wire::request::{KafkaRequest, KafkaRequestBody, parse};
use barnabas_kafka_wire::{alter_configs, api_versions, describe_cluster, describe_configs};
use barnabas_kafka_wire::{find_coordinator, list_resources, metadata, sasl, telemetry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let Ok(request) = parse(frame) else { return };
    let answer = answer(&request, frame);
    let (len, rest) = answer.split_first_chunk::<4>().expect("a length");
    assert_eq!(u32::from_be_bytes(*len) as usize, rest.len());
    assert_eq!(rest[..4], request.head.correlation.to_be_bytes());
});

fn answer(request: &KafkaRequest<'_>, frame: &[u8]) -> Vec<u8> {
    let KafkaRequest { head, body } = request;
    if let Some(id) = head.client_id {
        within(frame, id);
    }
    match body {
        KafkaRequestBody::UnsupportedApiVersions => api_versions::write_unsupported_version(head.correlation),
        KafkaRequestBody::ApiVersions(software) => {
            for text in software.iter().flat_map(|s| [s.name, s.version]) {
                within(frame, text);
                assert!(
                    api_versions::valid_software_text(text)
                        .is_none_or(|known| known.as_bytes() == text && text.len() < 256)
                );
            }
            api_versions::write(head.correlation, head.version, &Api::ALL)
        }
        KafkaRequestBody::Metadata(topics) => {
            topics.iter().filter_map(|topic| topic.name).for_each(|name| within(frame, name));
            let brokers = vec![metadata::AdvertisedBroker { node_id: 1, host: "host", port: 9092 }];
            let cluster = metadata::AdvertisedCluster { id: "cluster", brokers };
            let answer = metadata::write(head, &cluster, topics);
            assert!(answer.len() <= topics.answer_bound() + 128, "{} over {}", answer.len(), topics.answer_bound());
            answer
        }
        KafkaRequestBody::FindCoordinator => find_coordinator::write(head),
        KafkaRequestBody::GetTelemetrySubscriptions(instance_id) => telemetry::write_subscription(
            head.correlation,
            &telemetry::SubscriptionResponse {
                instance_id: *instance_id,
                id: 1,
                codecs: &Codec::OFFERED,
                push_interval: Duration::from_secs(60),
                max_bytes: 1 << 20,
                delta: false,
                metrics: &["*"],
            },
        ),
        KafkaRequestBody::SaslHandshake(mechanism) => {
            within(frame, mechanism);
            sasl::write_handshake(head.correlation, api::NONE, &["PLAIN"])
        }
        KafkaRequestBody::SaslAuthenticate(token) => {
            within(frame, token);
            sasl::write_reply(head, &sasl::SaslReply { token: token.to_vec(), ..sasl::SaslReply::default() })
        }
        KafkaRequestBody::PushTelemetry(push) => {
            within(frame, push.metrics);
            telemetry::write_push(head.correlation, api::NONE)
        }
        KafkaRequestBody::DescribeConfigs(asked) => {
            for resource in asked.resources.iter() {
                within(frame, resource.name);
                resource.keys.iter().flat_map(|keys| keys.iter()).for_each(|key| within(frame, key.0));
            }
            let answer = describe_configs::write(head, asked, asked.resources.iter().map(description));
            assert!(answer.len() <= asked.answer_bound() + 64);
            answer
        }
        KafkaRequestBody::IncrementalAlterConfigs(asked) => {
            for op in asked.resources.iter().flat_map(|resource| resource.ops.iter()) {
                within(frame, op.key);
                op.value.iter().for_each(|value| within(frame, value));
            }
            let done = asked.resources.iter().map(|resource| ((api::INVALID_REQUEST, None), resource));
            let answer = alter_configs::write(head, asked, done);
            assert!(answer.len() <= asked.answer_bound() + 64);
            answer
        }
        KafkaRequestBody::DescribeCluster(endpoints) => {
            let cluster = metadata::AdvertisedCluster {
                id: "cluster",
                brokers: vec![metadata::AdvertisedBroker { node_id: 1, host: "host", port: 9092 }],
            };
            describe_cluster::write(head, *endpoints, &cluster)
        }
        KafkaRequestBody::ListConfigResources(types) => {
            let _ = list_resources::listed(types);
            list_resources::write(head, api::NONE, &["a"])
        }
    }
}

fn description(resource: describe_configs::ResourceQuery<'_>) -> describe_configs::ResourceDescription<'_> {
    let (kind, name) = (resource.kind, resource.name);
    describe_configs::ResourceDescription {
        error: api::INVALID_REQUEST,
        message: None,
        kind,
        name,
        entries: Vec::new(),
    }
}

/// Asserts that `part` lies within `whole`, so that it can become a slice of it without a copy.
fn within(whole: &[u8], part: &[u8]) {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    assert!(part.start == part.end || (whole.start <= part.start && part.end <= whole.end));
}
