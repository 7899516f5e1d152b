//! Client pages.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use super::*;
use barnabas_base::InstanceId;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::{Admission, SubscriptionRule};
use barnabas_pipeline::catalogue::Catalogue;
use barnabas_pipeline::clients;
use barnabas_pipeline::clients::{ClientDescription, ClientFilter, ClientList};
use barnabas_pipeline::decode::{Decoded, Decoder};
use barnabas_pipeline::push;
use barnabas_pipeline::push::sample::SampleClient;
use barnabas_pipeline::push::{ConnectionId, Push};

/// A fixture with one client: a recorded Java producer.
fn fixture() -> (Admission, Catalogue, InstanceId) {
    let rule = SubscriptionRule::new("all", vec!["*".into()], Some(60_000), &[]).unwrap();
    let config = admission::AdmissionConfig { subscriptions: vec![rule], ..admission::AdmissionConfig::default() };
    let (admission, catalogue) = (Admission::new(config), Catalogue::new(9));
    let sample = SampleClient::Java.push();
    let subscribed = admission.subscribe(&sample.client, ConnectionId(1), Instant::now(), SystemTime::now()).unwrap();
    let push = Push { subscription_id: Some(subscribed.id), ingress: push::Ingress::Kafka, ..sample };
    let admitted = admission.admit(push, ConnectionId(1), Instant::now()).unwrap();
    let Decoded::Payload(payload) = Decoder::default().decode(admitted).unwrap() else { panic!("the push is empty") };
    catalogue.record_push(subscribed.instance_id, subscribed.id, payload.bytes(), payload.received_at());
    (admission, catalogue, subscribed.instance_id)
}

pub(super) fn list(filter: &ClientFilter) -> ClientList {
    let (admission, catalogue, _) = fixture();
    clients::list(&admission, &catalogue, filter, SystemTime::now())
}

pub(super) fn one(id: InstanceId) -> Option<ClientDescription> {
    let (admission, catalogue, _) = fixture();
    clients::describe(&admission, &catalogue, id, SystemTime::now())
}

#[tokio::test]
async fn clients_are_listed_and_filtered() {
    let endpoint = TestEndpoint::start().await;
    let all = endpoint.json("/v1/clients").await;
    assert_eq!((&all["known"], &all["matching"]), (&json!(1), &json!(1)));
    let client = &all["clients"][0];
    assert_eq!((&client["client_id"], &client["role"]), (&json!("sample"), &json!("producer")));
    for (query, matching) in [
        ("limit=1", 1),
        ("software=kafka-java%204.0", 1),
        ("software=rdkafka", 0),
        ("client-id=sam&subscription=all", 1),
        ("client-id=sam&subscription=al", 0),
    ] {
        let found = endpoint.json(&format!("/v1/clients?{query}")).await;
        assert_eq!((&found["matching"], &found["known"]), (&json!(matching), &json!(1)), "{query}");
        assert_eq!(found["clients"].as_array().unwrap().len(), matching, "{query}");
    }
    for query in ["limit=0", "limit=10001", "name=x"] {
        let error = endpoint.get(&format!("/v1/clients?{query}")).await.unwrap_err().to_string();
        assert!(error.contains("`client-id=`"), "{error}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn a_client_is_found_by_every_notation_of_its_id() {
    let endpoint = TestEndpoint::start().await;
    for spelling in [
        "cBrordIqXpq0qkqcvYahPA",
        "cBrordIqXpq0qkqcvYahPA==",
        "cBrordIqXpq0qkqcvYahPA%3D%3D",
        "701ae8add22a5e9ab4aa4a9cbd86a13c",
        "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13c",
    ] {
        let client = endpoint.json(&format!("/v1/clients/{spelling}")).await;
        assert_eq!(client["id"], json!("cBrordIqXpq0qkqcvYahPA"), "{spelling}");
        assert_eq!(client["metrics"]["required_present"].as_array().unwrap().len(), 3, "{client}");
        assert_eq!((&client["metrics"]["required_missing"], &client["trouble"]), (&json!([]), &json!([])));
    }
    let lines = endpoint.lines("GET /v1/clients/%2B%2B%2F%2F%2FwABAgMEBQYHCAkKCw==");
    let answer = endpoint.exchange(&lines).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("--___wABAgMEBQYHCAkKCw"), "{answer}");
    let answer = endpoint.exchange(&endpoint.lines("GET /v1/clients/orders-producer")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("32 hexadecimal digits"), "{answer}");
    endpoint.end().await;
}

/// The OpenAPI description has exactly the keys of a page.
#[test]
fn the_description_of_clients_names_the_fields_of_the_code() {
    let document: Value = serde_json::from_str(pages::OPEN_API).unwrap();
    let described = |schemas: &[&str]| -> BTreeSet<String> {
        let properties = |schema: &&str| document["components"]["schemas"][*schema]["properties"].as_object().unwrap();
        schemas.iter().flat_map(|schema| properties(schema).keys().cloned().collect::<Vec<_>>()).collect()
    };
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let list = serde_json::to_value(list(&ClientFilter::default())).unwrap();
    let one = serde_json::to_value(one(fixture().2)).unwrap();
    assert_eq!(keys(&list), described(&["ClientList"]));
    assert_eq!(keys(&list["clients"][0]), described(&["Client"]));
    assert_eq!(keys(&one), described(&["Client", "ClientDescription"]));
    assert_eq!(keys(&one["metrics"]), described(&["Coverage"]));
}
