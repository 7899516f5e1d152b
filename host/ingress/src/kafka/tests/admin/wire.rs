//! The encoding of the four requests, compared with an independent implementation in every supported version.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};

use super::super::differential::{read, reference_request, reference_response, text, versions};
use super::super::*;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::describe_configs::{ConfigEntry, ResourceDescription};
use barnabas_kafka_wire::request::{KafkaRequest, KafkaRequestBody, parse};
use barnabas_kafka_wire::{alter_configs, describe_cluster, describe_configs, list_resources, metadata};
use list_resources::ListedResources;

fn entry() -> ConfigEntry<'static> {
    ConfigEntry {
        name: "metrics",
        kind: 7,
        read_only: true,
        documentation: "what it is",
        value: "a.,b.",
        source: 7,
        is_default: false,
        synonyms: vec![(7, "a.,b."), (4, "c."), (5, "")],
    }
}

fn found(resource: describe_configs::ResourceQuery<'_>) -> ResourceDescription<'_> {
    let (kind, name) = (resource.kind, resource.name);
    match name {
        b"odd" => ResourceDescription { error: 42, message: Some("why"), kind, name, entries: Vec::new() },
        _ => ResourceDescription { error: 0, message: None, kind, name, entries: vec![entry()] },
    }
}

#[test]
fn describe_configs_agrees() {
    // The other implementation begins at version 1, as Kafka does since 4.0.
    for version in versions(Api::DescribeConfigs).skip(1) {
        for with in [true, false] {
            let resource = |name: &str, keys: Option<&[&str]>| {
                let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
                let resource = DescribeConfigsResource::default().with_resource_type(16);
                resource.with_resource_name(text(name)).with_configuration_keys(keys)
            };
            let resources = vec![resource("some", None), resource("odd", Some(&["metrics", "", "x"]))];
            let asked = DescribeConfigsRequest::default().with_resources(resources).with_include_synonyms(with);
            let asked = asked.with_include_documentation(with && version >= 3);
            let frame = reference_request(Api::DescribeConfigs, version, &asked);
            let KafkaRequest { head, body: KafkaRequestBody::DescribeConfigs(asked) } = read(&frame) else {
                panic!("DescribeConfigs")
            };
            assert_eq!((asked.synonyms, asked.documentation), (with, with && version >= 3));
            let keys = |r: describe_configs::ResourceQuery<'_>| {
                r.keys.map(|keys| keys.iter().map(|key| key.0.len()).collect())
            };
            let read: Vec<(i8, Vec<u8>, Option<Vec<usize>>)> =
                asked.resources.iter().map(|r| (r.kind, r.name.to_vec(), keys(r))).collect();
            assert_eq!(read, [(16, b"some".to_vec(), None), (16, b"odd".to_vec(), Some(vec![7, 0, 1]))]);

            let written = describe_configs::write(&head, &asked, asked.resources.iter().map(found));
            let bound = asked.answer_bound() + asked.resources.iter().map(|r| found(r).size()).sum::<usize>();
            assert!(written.len() <= bound + 64, "the bound holds in version {version}");
            check_described(&reference_response(&written, i16::from(version >= 4), version), version, with);
        }
    }
}

fn check_described(answer: &DescribeConfigsResponse, version: i16, with: bool) {
    let [some, odd] = &answer.results[..] else { panic!("two resources") };
    assert_eq!((odd.error_code, odd.error_message.as_deref(), odd.configs.len()), (42, Some("why"), 0));
    assert_eq!((some.error_code, &some.error_message, &some.resource_name[..]), (0, &None, "some"));
    let [config] = &some.configs[..] else { panic!("one key") };
    assert_eq!((&config.name[..], config.value.as_deref()), ("metrics", Some("a.,b.")));
    assert_eq!((config.read_only, config.is_sensitive, config.config_source), (true, false, 7));
    let synonyms = config.synonyms.iter().map(|s| (s.source, s.value.as_deref().unwrap()));
    let expected: &[(i8, &str)] = if with { &[(7, "a.,b."), (4, "c."), (5, "")] } else { &[] };
    assert_eq!(synonyms.collect::<Vec<_>>(), expected);
    assert_eq!(config.config_type, if version >= 3 { 7 } else { 0 });
    let documentation = if with && version >= 3 { "what it is" } else { "" };
    assert_eq!(config.documentation.as_deref().unwrap_or_default(), documentation);
    assert!(version < 3 || with || config.documentation.is_none());
}

#[test]
fn describe_configs_of_old_is_as_kafka_had_it() {
    let body = b"\x00\x00\x00\x01\x10\x00\x01x\x00\x00\x00\x01\x00\x07metrics";
    let frame = request(32, 0, false, 77, body);
    let KafkaRequest { head, body: KafkaRequestBody::DescribeConfigs(asked) } = parse(&frame[4..]).unwrap() else {
        panic!()
    };
    let answer = describe_configs::write(&head, &asked, asked.resources.iter().map(found));
    let expected = b"\x00\x00\x00\x4d\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff\xff\x10\x00\x01x\x00\x00\x00\x01\
        \x00\x07metrics\x00\x05a.,b.\x01\x00\x00";
    assert_eq!(&answer[4..], expected, "read only, not the default, no secret");
}

#[test]
fn incremental_alter_configs_agrees() {
    for version in versions(Api::IncrementalAlterConfigs) {
        let config = |key: &str, op: i8, value: Option<&str>| {
            let config = AlterableConfig::default().with_name(text(key)).with_config_operation(op);
            config.with_value(value.map(text))
        };
        let configs = vec![config("metrics", 0, Some("a.")), config("", 1, None)];
        let resource =
            |name: &str| AlterConfigsResource::default().with_resource_type(16).with_resource_name(text(name));
        let resources = vec![resource("x").with_configs(configs), resource("")];
        let asked = IncrementalAlterConfigsRequest::default().with_resources(resources).with_validate_only(true);
        let frame = reference_request(Api::IncrementalAlterConfigs, version, &asked);
        let KafkaRequest { head, body: KafkaRequestBody::IncrementalAlterConfigs(asked) } = read(&frame) else {
            panic!("Alter")
        };
        assert!(asked.validate_only);
        let ops: Vec<Vec<alter_configs::ConfigOp<'_>>> =
            asked.resources.iter().map(|r| r.ops.iter().collect()).collect();
        let op = |key: &'static [u8], kind, value| alter_configs::ConfigOp { key, kind, value };
        assert_eq!(ops, [vec![op(b"metrics", 0, Some(b"a.")), op(b"", 1, None)], vec![]]);

        let answers = [(0, None), (40, Some("why"))].into_iter().zip(asked.resources.iter());
        let written = alter_configs::write(&head, &asked, answers);
        assert!(written.len() <= asked.answer_bound() + 64 + "why".len());
        let answer: IncrementalAlterConfigsResponse = reference_response(&written, i16::from(version >= 1), version);
        let seen = answer.responses.iter().map(|r| (r.error_code, r.error_message.as_deref(), &r.resource_name[..]));
        assert_eq!(seen.collect::<Vec<_>>(), [(0, None, "x"), (40, Some("why"), "")]);
        assert!(answer.responses.iter().all(|r| r.resource_type == 16));
    }
}

#[test]
fn describe_cluster_agrees() {
    for version in versions(Api::DescribeCluster) {
        for (endpoints, error) in [(1, 0), (2, 114), (9, 115)] {
            let asked = DescribeClusterRequest::default().with_include_fenced_brokers(version >= 2);
            let asked = asked.with_endpoint_type(if version >= 1 { endpoints } else { 1 });
            let frame = reference_request(Api::DescribeCluster, version, &asked);
            let KafkaRequest { head, body: KafkaRequestBody::DescribeCluster(seen) } = read(&frame) else {
                panic!("DescribeCluster")
            };
            assert_eq!(seen, if version >= 1 { endpoints } else { 1 });
            let broker = metadata::AdvertisedBroker { node_id: 5, host: "push.example", port: 9092 };
            let other = metadata::AdvertisedBroker { node_id: 7, host: "other.example", port: 9092 };
            let cluster = metadata::AdvertisedCluster { id: "here", brokers: vec![broker, other] };
            let answer: DescribeClusterResponse =
                reference_response(&describe_cluster::write(&head, seen, &cluster), 1, version);
            assert_eq!(answer.cluster_authorized_operations, i32::MIN);
            if version == 0 || error == 0 {
                let [broker, other] = &answer.brokers[..] else { panic!("two brokers") };
                assert_eq!((other.broker_id.0, &other.host[..]), (7, "other.example"));
                assert_eq!((broker.broker_id.0, &broker.host[..], broker.port), (5, "push.example", 9092));
                assert_eq!((&broker.rack, broker.is_fenced), (&None, false));
                assert_eq!((answer.error_code, &answer.cluster_id[..], answer.controller_id.0), (0, "here", 5));
                assert_eq!(answer.endpoint_type, 1);
            } else {
                assert_eq!((answer.error_code, answer.brokers.len()), (error, 0));
                assert!(answer.error_message.is_some());
            }
        }
    }
}

#[test]
fn list_config_resources_agrees() {
    let asked_for: [(&[i8], ListedResources); 6] = [
        (&[], ListedResources::Subscriptions),
        (&[16], ListedResources::Subscriptions),
        (&[2, 16], ListedResources::Subscriptions),
        (&[2, 4, 8, 32], ListedResources::Empty),
        (&[16, 99], ListedResources::UnknownType),
        (&[0], ListedResources::UnknownType),
    ];
    for version in versions(Api::ListConfigResources) {
        for (types, wanted) in asked_for {
            let types = if version >= 1 { types } else { &[] };
            let asked = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
            let frame = reference_request(Api::ListConfigResources, version, &asked);
            let KafkaRequest { head, body: KafkaRequestBody::ListConfigResources(types) } = read(&frame) else {
                panic!("List")
            };
            let expected = if version >= 1 { wanted } else { ListedResources::Subscriptions };
            assert_eq!(list_resources::listed(&types), expected);
            let written = list_resources::write(&head, 0, &["a", "b"]);
            let answer: ListConfigResourcesResponse = reference_response(&written, 1, version);
            let seen = answer.config_resources.iter().map(|r| (&r.resource_name[..], r.resource_type));
            assert_eq!((answer.error_code, seen.collect::<Vec<_>>()), (0, vec![("a", 16), ("b", 16)]));
        }
    }
}

#[test]
fn every_cut_of_them_is_noticed() {
    let resource = DescribeConfigsResource::default().with_resource_name(text("x"));
    let resource = resource.with_configuration_keys(Some(vec![text("metrics")]));
    let describe = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let config = AlterableConfig::default().with_name(text("metrics")).with_value(Some(text("a.")));
    let resource = AlterConfigsResource::default().with_resource_name(text("x")).with_configs(vec![config]);
    let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let list = ListConfigResourcesRequest::default().with_resource_types(vec![16]);
    let frames = [
        reference_request(Api::DescribeConfigs, 1, &describe),
        reference_request(Api::DescribeConfigs, 4, &describe),
        reference_request(Api::IncrementalAlterConfigs, 0, &alter),
        reference_request(Api::IncrementalAlterConfigs, 1, &alter),
        reference_request(Api::DescribeCluster, 2, &DescribeClusterRequest::default()),
        reference_request(Api::ListConfigResources, 1, &list),
    ];
    for frame in frames {
        assert!(parse(&frame).is_ok());
        for len in 0..frame.len() {
            assert!(parse(&frame[..len]).is_err(), "{len} bytes of {frame:?}");
        }
    }
    // Counts are checked against the bytes that are left.
    for (key, version) in [(32, 1), (44, 0)] {
        let error = parse(&request(key, version, false, 1, &[0x7f, 0xff, 0xff, 0xff, 0, 0])[4..]).expect_err("a lie");
        assert!(error.to_string().contains("announces"), "{error}");
    }
}
