//! Over real sockets: administrators' requests, and clients that see their effect.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse, PushTelemetryRequest,
    PushTelemetryResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::super::differential::{reference_request, reference_response, text};
use super::super::*;
use crate::subscription::{self, testing};
use barnabas_kafka_wire::api::Api;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::Admission;
use barnabas_pipeline::decode::Decoder;
use barnabas_pipeline::dispatch::Dispatch;
use barnabas_pipeline::intake::IntakePipeline;

type Ops<'a> = &'a [(&'a str, i8, Option<&'a str>)];

const SET: i8 = 0;
const DELETE: i8 = 1;

/// A listener with a real intake, and the subscriptions that its administrators alter.
async fn with_real_intake(
    config: subscription::SubscriptionsConfig,
    change: impl FnOnce(&mut KafkaListenerConfig),
) -> KafkaListenerFixture {
    let admission = Arc::new(Admission::new(admission::AdmissionConfig::default()));
    let opening = subscription::SubscriptionsSetup { config, ..testing::setup(&admission) };
    let book = Subscriptions::open(opening).unwrap();
    let events = Events::new();
    let reception =
        IntakePipeline::new(admission, Decoder::new(Default::default()), Dispatch::new(events.clone()), events);
    let (intake, notebook) = (Arc::new(reception), Arc::new(FakeIntake::default()));
    KafkaListenerFixture::with_intake(intake, notebook, book, ByteBudget::DEFAULT_BYTES, change).await
}

async fn ask<T: Decodable>(peer: &mut TestPeer, api: Api, version: i16, body: &impl Encodable) -> T {
    let answer = peer.ask(&framed(&reference_request(api, version, body))).await;
    reference_response(&answer, i16::from(api.is_flexible(version)), version)
}

fn to_alter(kind: i8, name: &str, ops: Ops<'_>) -> AlterConfigsResource {
    let config = |(key, op, value): &(&str, i8, Option<&str>)| {
        let config = AlterableConfig::default().with_name(text(key)).with_config_operation(*op);
        config.with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    resource.with_configs(ops.iter().map(config).collect())
}

async fn alter_all(
    peer: &mut TestPeer,
    resources: Vec<AlterConfigsResource>,
    validate: bool,
) -> Vec<AlterConfigsResourceResponse> {
    let asked = IncrementalAlterConfigsRequest::default().with_resources(resources).with_validate_only(validate);
    let answer: IncrementalAlterConfigsResponse = ask(peer, Api::IncrementalAlterConfigs, 1, &asked).await;
    answer.responses
}

/// Error code and message.
async fn alter(peer: &mut TestPeer, name: &str, ops: Ops<'_>) -> (i16, String) {
    let [answer] = &alter_all(peer, vec![to_alter(16, name, ops)], false).await[..] else { panic!("one answer") };
    assert_eq!((answer.resource_type, &answer.resource_name[..]), (16, name));
    (answer.error_code, answer.error_message.as_deref().unwrap_or_default().to_owned())
}

async fn describe_as(peer: &mut TestPeer, version: i16, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    let asked = DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)]);
    let asked = asked.with_include_synonyms(true).with_include_documentation(version >= 3);
    let answer: DescribeConfigsResponse = ask(peer, Api::DescribeConfigs, version, &asked).await;
    answer.results.into_iter().next().expect("one answer")
}

/// Key, value and source.
async fn describe(peer: &mut TestPeer, name: &str) -> Vec<(String, String, i8)> {
    let found = describe_as(peer, 4, 16, name).await;
    assert_eq!((found.error_code, &found.error_message, &found.resource_name[..]), (0, &None, name));
    let entry = |config: &DescribeConfigsResourceResult| {
        assert!(!config.documentation.as_deref().unwrap_or_default().is_empty());
        assert_eq!(config.config_type, if config.name == *"interval.ms" { 3 } else { 7 });
        assert_eq!(config.synonyms.last().map(|synonym| synonym.source), Some(5));
        (config.name.to_string(), config.value.as_deref().unwrap().to_owned(), config.config_source)
    };
    found.configs.iter().map(entry).collect()
}

fn three(metrics: (&str, i8), interval: (&str, i8), matches: (&str, i8)) -> Vec<(String, String, i8)> {
    let entry = |name: &str, (value, source): (&str, i8)| (name.to_owned(), value.to_owned(), source);
    vec![entry("metrics", metrics), entry("interval.ms", interval), entry("match", matches)]
}

async fn list(peer: &mut TestPeer) -> Vec<String> {
    let asked = ListConfigResourcesRequest::default();
    let old: ListConfigResourcesResponse = ask(peer, Api::ListConfigResources, 0, &asked).await;
    let new: ListConfigResourcesResponse = ask(peer, Api::ListConfigResources, 1, &asked).await;
    assert_eq!((old.error_code, &old), (0, &new));
    new.config_resources.iter().map(|resource| resource.resource_name.to_string()).collect()
}

#[tokio::test]
async fn altered_described_listed_and_deleted() {
    let door = with_real_intake(testing::file_config("file", &["f."], 60_000, &[]), |_| {}).await;
    let mut peer = door.connect().await;
    let done = alter(&mut peer, "x", &[("metrics", SET, Some("a.,b.")), ("match", SET, Some("client_id=c=.*"))]).await;
    assert_eq!(done, (0, "no client is connected".into()));
    assert_eq!(list(&mut peer).await, ["file", "x"]);
    let expected = three(("a.,b.", 7), ("300000", 5), ("client_id=c=.*", 7));
    assert_eq!(describe(&mut peer, "x").await, expected);
    assert_eq!(describe(&mut peer, "file").await, three(("f.", 4), ("60000", 4), ("", 5)));
    assert_eq!(describe(&mut peer, "nobody").await, three(("", 5), ("300000", 5), ("", 5)), "as in Kafka");

    let all: Ops<'_> = &[("metrics", DELETE, Some("a.")), ("interval.ms", DELETE, None), ("match", DELETE, None)];
    assert_eq!(alter(&mut peer, "x", all).await.0, 0);
    assert_eq!(list(&mut peer).await, ["file"]);
    let (error, words) = alter(&mut peer, "file", all).await;
    assert!(error == 0 && words.contains("nothing was changed: `metrics` and `interval.ms` come from"), "{words}");
    assert_eq!(list(&mut peer).await, ["file"]);
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn only_the_requested_keys_are_described() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    let resource = DescribeConfigsResource::default().with_resource_type(16).with_resource_name(text("x"));
    let resource = resource.with_configuration_keys(Some(vec![text("match"), text("other")]));
    let asked = DescribeConfigsRequest::default().with_resources(vec![resource]);
    for version in 1..=4 {
        let answer: DescribeConfigsResponse = ask(&mut peer, Api::DescribeConfigs, version, &asked).await;
        let [config] = &answer.results[0].configs[..] else { panic!("one key") };
        let documentation = config.documentation.as_deref().unwrap_or_default();
        assert_eq!((&config.name[..], config.synonyms.len(), documentation), ("match", 0, ""));
    }
}

/// A Get with the id of `known`.
async fn get(peer: &mut TestPeer, known: &GetTelemetrySubscriptionsResponse) -> GetTelemetrySubscriptionsResponse {
    let asked = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(known.client_instance_id);
    ask(peer, Api::GetTelemetrySubscriptions, 0, &asked).await
}

/// The error code of an empty push under that subscription.
async fn push(peer: &mut TestPeer, response_seen: &GetTelemetrySubscriptionsResponse) -> i16 {
    let asked = PushTelemetryRequest::default()
        .with_client_instance_id(response_seen.client_instance_id)
        .with_subscription_id(response_seen.subscription_id);
    ask::<PushTelemetryResponse>(peer, Api::PushTelemetry, 0, &asked).await.error_code
}

#[tokio::test]
async fn an_alteration_takes_effect_immediately() {
    let door = with_real_intake(testing::file_config("s", &["a."], 60_000, &[]), |_| {}).await;
    let (mut admin, mut client) = (door.connect().await, door.connect().await);
    let response_seen = get(&mut client, &GetTelemetrySubscriptionsResponse::default()).await;
    assert_eq!((response_seen.requested_metrics.clone(), response_seen.push_interval_ms), (vec![text("a.")], 60_000));
    assert_eq!(push(&mut client, &response_seen).await, 0);
    let (error, words) =
        alter(&mut admin, "s", &[("metrics", 2, Some("b.")), ("interval.ms", SET, Some("30000"))]).await;
    assert_eq!((error, &words[..]), (0, "1 of 1 connected client matches; 1 gets the change within 90s"));
    assert_eq!(push(&mut client, &response_seen).await, 117);
    let again = get(&mut client, &response_seen).await;
    assert_eq!((again.error_code, again.client_instance_id), (0, response_seen.client_instance_id));
    assert_eq!((again.requested_metrics.clone(), again.push_interval_ms), (vec![text("a."), text("b.")], 30_000));
    assert_eq!(push(&mut client, &again).await, 0);
}

#[tokio::test]
async fn validating_alters_nothing() {
    let door = with_real_intake(testing::file_config("s", &["a."], 60_000, &[]), |_| {}).await;
    let (mut admin, mut client) = (door.connect().await, door.connect().await);
    let response_seen = get(&mut client, &GetTelemetrySubscriptionsResponse::default()).await;
    let resources = || vec![to_alter(16, "s", &[("metrics", SET, Some("b."))]), to_alter(16, "t", &[("m", SET, None)])];
    let answers = alter_all(&mut admin, resources(), true).await;
    assert_eq!([answers[0].error_code, answers[1].error_code], [0, 42]);
    assert!(answers[0].error_message.as_deref().unwrap().contains("nothing was changed"));
    assert_eq!(describe(&mut admin, "s").await, three(("a.", 4), ("60000", 4), ("", 5)));
    assert_eq!(list(&mut admin).await, ["s"]);
    assert_eq!(push(&mut client, &response_seen).await, 0, "its subscription is unchanged");
}

#[tokio::test]
async fn refusals_of_alterations_have_their_codes() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    let cases: [(&str, Ops<'_>, i16); 9] = [
        ("", &[("metrics", SET, Some("a."))], 42),
        ("x", &[("metric", SET, Some("a."))], 42),
        ("x", &[("interval.ms", SET, Some("99"))], 42),
        ("x", &[("metrics", 9, Some("a."))], 42),
        ("x", &[("metrics", SET, Some("a.")), ("metrics", 2, Some("b."))], 42),
        ("x", &[("match", SET, Some("client_id=("))], 40),
        ("x", &[("metrics", SET, None)], 40),
        ("x", &[("metrics", SET, Some("a.,a."))], 40),
        ("x", &[("interval.ms", 2, Some("60000"))], 40),
    ];
    for (name, ops, code) in cases {
        let (error, words) = alter(&mut peer, name, ops).await;
        assert!(error == code && !words.is_empty(), "{ops:?}: {error} {words}");
    }
    let twice = || to_alter(16, "x", &[("metrics", SET, Some("a."))]);
    let other = to_alter(16, "y", &[("metrics", SET, Some("a."))]);
    let answers = alter_all(&mut peer, vec![twice(), other, twice()], false).await;
    assert_eq!(answers.iter().map(|answer| answer.error_code).collect::<Vec<_>>(), [42, 0, 42]);
    assert_eq!(list(&mut peer).await, ["y"], "each resource on its own");
}

#[tokio::test]
async fn other_resource_types_are_refused_with_a_message() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    for (kind, name) in [(4, ""), (4, "1"), (8, "1"), (2, "topic"), (32, "group"), (99, "x"), (16, "")] {
        for version in 1..=4 {
            let found = describe_as(&mut peer, version, kind, name).await;
            assert_eq!((found.error_code, found.resource_type, found.configs.len()), (42, kind, 0));
            let words = found.error_message.as_deref().unwrap();
            assert!(kind == 16 || words.contains("only resources of type client-metrics exist here"), "{words}");
        }
        let [answer] = &alter_all(&mut peer, vec![to_alter(kind, name, &[])], false).await[..] else { panic!() };
        assert_eq!((answer.error_code, answer.resource_type), (42, kind));
    }
    for (types, error, names) in [(vec![16], 0, 1), (vec![2, 4, 8, 32], 0, 0), (vec![16, 77], 35, 0)] {
        alter(&mut peer, "x", &[("metrics", SET, Some("a."))]).await;
        let asked = ListConfigResourcesRequest::default().with_resource_types(types);
        let answer: ListConfigResourcesResponse = ask(&mut peer, Api::ListConfigResources, 1, &asked).await;
        assert_eq!((answer.error_code, answer.config_resources.len()), (error, names));
    }
}

#[tokio::test]
async fn an_unlisted_principal_can_neither_describe_nor_alter() {
    let only_alice =
        |config: &mut KafkaListenerConfig| config.access = AdminAccess::Listed(BTreeSet::from(["User:alice".into()]));
    let door = with_real_intake(testing::file_config("s", &["a."], 60_000, &[]), only_alice).await;
    let mut peer = door.connect().await;
    let (error, words) = alter(&mut peer, "s", &[("metrics", SET, Some("b."))]).await;
    assert!(error == 31 && words.contains("User:ANONYMOUS"), "{error} {words}");
    let found = describe_as(&mut peer, 4, 16, "s").await;
    assert_eq!((found.error_code, found.configs.len()), (31, 0));
    assert!(found.error_message.is_some());
    let asked = ListConfigResourcesRequest::default();
    for version in [0, 1] {
        let answer: ListConfigResourcesResponse = ask(&mut peer, Api::ListConfigResources, version, &asked).await;
        assert_eq!((answer.error_code, answer.config_resources.len()), (31, 0));
    }
    assert_eq!(door.subscriptions.describe("s").unwrap().entries[0].value(), "a.");
    let response_seen = get(&mut peer, &GetTelemetrySubscriptionsResponse::default()).await;
    assert_eq!(push(&mut peer, &response_seen).await, 0, "telemetry needs no authorization");
    let asked = DescribeClusterRequest::default().with_endpoint_type(1);
    let answer: DescribeClusterResponse = ask(&mut peer, Api::DescribeCluster, 2, &asked).await;
    assert_eq!((answer.error_code, answer.brokers[0].port), (0, i32::from(door.address.port())));
}

#[tokio::test]
async fn in_a_fleet_everything_is_shown_and_nothing_altered() {
    let config = subscription::SubscriptionsConfig { fleet: true, ..testing::file_config("s", &["a."], 60_000, &[]) };
    let door = with_real_intake(config, |_| {}).await;
    let mut peer = door.connect().await;
    let (error, words) = alter(&mut peer, "s", &[("metrics", SET, Some("b."))]).await;
    assert!(error == 44 && words.contains("`fleet` is set"), "{error} {words}");
    assert_eq!(describe(&mut peer, "s").await, three(("a.", 4), ("60000", 4), ("", 5)));
    assert!(describe_as(&mut peer, 4, 16, "s").await.configs.iter().all(|config| config.read_only));
}

#[tokio::test]
async fn resources_of_a_request_obeyed() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    let resources = (0..1_000).map(|n| to_alter(16, &n.to_string(), &[("interval.ms", SET, Some("60000"))]));
    let answers = alter_all(&mut peer, resources.collect(), false).await;
    assert!(answers.len() == 1_000 && answers.iter().all(|answer| answer.error_code == 0));
    let of = |name: &String| DescribeConfigsResource::default().with_resource_type(16).with_resource_name(text(name));
    let resources = list(&mut peer).await.iter().map(of).map(|of| of.with_configuration_keys(None)).collect();
    let asked = DescribeConfigsRequest::default().with_resources(resources);
    let answer: DescribeConfigsResponse = ask(&mut peer, Api::DescribeConfigs, 4, &asked).await;
    assert!(answer.results.len() == 1_000 && answer.results.iter().all(|found| found.configs.len() == 3));
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn resources_of_a_request_violated() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    let resources: Vec<_> = (0..1_001).map(|n| to_alter(16, &n.to_string(), &[("metrics", SET, Some("a."))])).collect();
    let answers = alter_all(&mut peer, resources, false).await;
    assert!(answers.len() == 1_001 && answers.iter().all(|answer| answer.error_code == 42));
    assert!(answers[0].error_message.as_deref().unwrap().contains("1001") && answers[1].error_message.is_none());
    let resource = |n: i32| DescribeConfigsResource::default().with_resource_name(text(&n.to_string()));
    let asked = DescribeConfigsRequest::default().with_resources((0..1_001).map(resource).collect());
    let answer: DescribeConfigsResponse = ask(&mut peer, Api::DescribeConfigs, 1, &asked).await;
    assert!(answer.results.len() == 1_001 && answer.results.iter().all(|found| found.error_code == 42));
    assert_eq!(list(&mut peer).await.len(), 0);
    // Java never sends a name twice; otherwise a few bytes could cause a large answer.
    let asked = DescribeConfigsRequest::default().with_resources(vec![resource(1).with_resource_type(16); 2]);
    let answer: DescribeConfigsResponse = ask(&mut peer, Api::DescribeConfigs, 1, &asked).await;
    assert!(answer.results.iter().all(|found| found.error_code == 42));
}

#[tokio::test]
async fn a_value_is_described_in_full_or_refused() {
    let door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    let long = "m".repeat(40_000);
    assert_eq!(alter(&mut peer, "x", &[("metrics", SET, Some(&long))]).await.0, 0);
    assert_eq!(describe(&mut peer, "x").await[0].1, long);
    let found = describe_as(&mut peer, 3, 16, "x").await;
    assert_eq!((found.error_code, found.configs.len()), (42, 0));
    assert!(found.error_message.as_deref().unwrap().contains("version 4"));
}

#[tokio::test]
async fn an_alteration_that_was_read_is_answered_at_shutdown() {
    let mut door = with_real_intake(subscription::SubscriptionsConfig::default(), |_| {}).await;
    let mut peer = door.connect().await;
    list(&mut peer).await;
    let resources = (0..300).map(|n| to_alter(16, &n.to_string(), &[("metrics", SET, Some("a."))])).collect();
    let asked = IncrementalAlterConfigsRequest::default().with_resources(resources);
    peer.send(&framed(&reference_request(Api::IncrementalAlterConfigs, 1, &asked))).await;
    eventually(|| !door.subscriptions.list().is_empty()).await;
    door.begin_shutdown();
    let answer: IncrementalAlterConfigsResponse = reference_response(&peer.receive().await, 1, 1);
    assert!(answer.responses.len() == 300 && answer.responses.iter().all(|answer| answer.error_code == 0));
    assert!(peer.is_closed().await);
    door.serving.await.unwrap();
}
