//! Whatever the bytes of a frame: it is read without a fault, or refused; what was read lies within the frame; and
//! every answer is a whole frame within its bound.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/src"]
mod host {
    pub mod auth {
        mod failure;
        mod mechanism;

        pub use failure::Failure;
        pub use mechanism::Mechanism;
    }
    pub mod push;
    pub mod kafka {
        pub mod api;
        pub mod wire;
    }
    pub mod listener {
        pub mod kafka {
            pub mod alter_configs;
            pub mod api_versions;
            pub mod describe_cluster;
            pub mod describe_configs;
            pub mod find_coordinator;
            pub mod list;
            pub mod list_resources;
            pub mod metadata;
            pub mod request;
            pub mod sasl;
            pub mod telemetry;
        }
    }
}
// The modules name each other from the root of their crate.
pub(crate) use host::auth;
pub(crate) use host::kafka;
use host::kafka::api;
use host::listener::kafka::{alter_configs, api_versions, describe_cluster, describe_configs};
use host::listener::kafka::{find_coordinator, list_resources, metadata, request, sasl, telemetry};
pub(crate) use host::push;

use api::Api;
use push::Codec;
use request::{Body, Request, parse};

fuzz_target!(|frame: &[u8]| {
    let Ok(request) = parse(frame) else { return };
    let answer = answer(&request, frame);
    let (len, rest) = answer.split_first_chunk::<4>().expect("a length");
    assert_eq!(u32::from_be_bytes(*len) as usize, rest.len());
    assert_eq!(rest[..4], request.head.correlation.to_be_bytes());
});

fn answer(request: &Request<'_>, frame: &[u8]) -> Vec<u8> {
    let Request { head, body } = request;
    if let Some(id) = head.client_id {
        within(frame, id);
    }
    match body {
        Body::UnspokenApiVersions => api_versions::write_unspoken(head.correlation),
        Body::ApiVersions(software) => {
            for text in software.iter().flat_map(|s| [s.name, s.version]) {
                within(frame, text);
                assert!(api_versions::known(text).is_none_or(|known| known.as_bytes() == text && text.len() < 256));
            }
            api_versions::write(head.correlation, head.version, &Api::ALL)
        }
        Body::Metadata(topics) => {
            topics.iter().filter_map(|topic| topic.name).for_each(|name| within(frame, name));
            let brokers = vec![metadata::Broker { node_id: 1, host: "host", port: 9092 }];
            let cluster = metadata::Cluster { id: "cluster", brokers };
            let answer = metadata::write(head, &cluster, topics);
            assert!(answer.len() <= topics.answer_bound() + 128, "{} over {}", answer.len(), topics.answer_bound());
            answer
        }
        Body::FindCoordinator => find_coordinator::write(head),
        Body::GetTelemetrySubscriptions(instance_id) => telemetry::write_subscription(
            head.correlation,
            &telemetry::Subscription {
                instance_id: *instance_id,
                id: 1,
                codecs: &Codec::OFFERED,
                push_interval: Duration::from_secs(60),
                max_bytes: 1 << 20,
                delta: false,
                metrics: &["*"],
            },
        ),
        Body::SaslHandshake(mechanism) => {
            within(frame, mechanism);
            sasl::write_handshake(head.correlation, api::NONE, &[auth::Mechanism::Plain])
        }
        Body::SaslAuthenticate(token) => {
            within(frame, token);
            sasl::write_reply(head, &sasl::Reply { token: token.to_vec(), ..sasl::Reply::default() })
        }
        Body::PushTelemetry(push) => {
            within(frame, push.metrics);
            telemetry::write_push(head.correlation, api::NONE)
        }
        Body::DescribeConfigs(asked) => {
            for resource in asked.resources.iter() {
                within(frame, resource.name);
                resource.keys.iter().flat_map(|keys| keys.iter()).for_each(|key| within(frame, key.0));
            }
            let answer = describe_configs::write(head, asked, asked.resources.iter().map(found));
            assert!(answer.len() <= asked.answer_bound() + 64);
            answer
        }
        Body::IncrementalAlterConfigs(asked) => {
            for op in asked.resources.iter().flat_map(|resource| resource.ops.iter()) {
                within(frame, op.key);
                op.value.iter().for_each(|value| within(frame, value));
            }
            let done = asked.resources.iter().map(|resource| ((api::INVALID_REQUEST, None), resource));
            let answer = alter_configs::write(head, asked, done);
            assert!(answer.len() <= asked.answer_bound() + 64);
            answer
        }
        Body::DescribeCluster(endpoints) => {
            let cluster = metadata::Cluster { id: "cluster", brokers: vec![metadata::Broker { node_id: 1, host: "host", port: 9092 }] };
            describe_cluster::write(head, *endpoints, &cluster)
        }
        Body::ListConfigResources(types) => {
            let _ = list_resources::wanted(types);
            list_resources::write(head, api::NONE, &["a"])
        }
    }
}

fn found(resource: describe_configs::Resource<'_>) -> describe_configs::Found<'_> {
    let (kind, name) = (resource.kind, resource.name);
    describe_configs::Found { error: api::INVALID_REQUEST, words: None, kind, name, entries: Vec::new() }
}

/// The part is a part of the whole: it can become a slice of it without a copy.
fn within(whole: &[u8], part: &[u8]) {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    assert!(part.start == part.end || (whole.start <= part.start && part.end <= whole.end));
}
