//! The OpenAPI description matches the code.

use std::collections::BTreeSet;

use super::*;
use barnabas_lifecycle::change::{ManifestPatch, RolloutOverride, SwapStage};
use barnabas_storage::audit::AuditAction;

fn document() -> Value {
    serde_json::from_str(pages::OPEN_API).unwrap()
}

/// Method and path of every described operation.
fn described() -> BTreeSet<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect()
}

fn names(schema: &str) -> Vec<String> {
    serde_json::from_value(document()["components"]["schemas"][schema]["enum"].clone()).unwrap()
}

/// Each of these codes is used by the code; the last one is the last of the `match` below.
fn all_of<T: serde::de::DeserializeOwned + serde::Serialize>(schema: &str, count: usize) {
    let names = names(schema);
    assert_eq!(names.len(), count, "{schema}");
    for name in names {
        let value: T = serde_json::from_value(json!(name)).unwrap_or_else(|error| panic!("{schema} {name}: {error}"));
        assert_eq!(serde_json::to_value(value).unwrap(), json!(name));
    }
}

/// The number of values of an enum, from serde's error for an unknown one.
fn count<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> usize {
    let error = serde_json::from_value::<T>(json!("no such name")).unwrap_err().to_string();
    error.matches('`').count() / 2 - 1
}

#[tokio::test]
async fn it_is_served_unchanged() {
    let endpoint = TestEndpoint::start().await;
    assert_eq!(endpoint.json("/v1/openapi.json").await, document());
    endpoint.end().await;
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let table = pages::table().into_iter().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described(), table);
}

#[tokio::test]
async fn every_route_of_the_table_supports_its_method() {
    let endpoint = TestEndpoint::start().await;
    for (method, path) in described() {
        let request = format!("{} {}", method.to_uppercase(), path.replace("{name}", "sink"));
        let answer = endpoint.exchange(&(endpoint.lines(&request) + "\r\ncontent-length: 0")).await;
        assert!(!answer.starts_with("HTTP/1.1 405") && !answer.starts_with("HTTP/1.1 404"), "{request}: {answer}");
    }
    endpoint.end().await;
}

#[test]
fn its_enums_are_those_of_the_code() {
    all_of::<SwapStage>("Stage", count::<SwapStage>());
    all_of::<ChangeOutcome>("ChangeOutcome", count::<ChangeOutcome>());
    all_of::<ChangeRefusedCode>("RefusedCode", count::<ChangeRefusedCode>());
    all_of::<AuditAction>("Action", count::<AuditAction>());
    assert_eq!(names("Stage").last().unwrap(), SwapStage::Retire.as_str());
}

#[test]
fn its_bodies_have_the_fields_of_the_code() {
    let properties = |schema: &str| {
        let properties = document()["components"]["schemas"][schema]["properties"].as_object().unwrap().clone();
        properties.keys().cloned().collect::<BTreeSet<_>>()
    };
    let known =
        |error: String| -> BTreeSet<String> { error.split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect() };
    let nonsense = json!({ "no such field": 1 });
    let wanted = serde_json::from_value::<ManifestPatch>(nonsense.clone()).unwrap_err().to_string();
    let plan = serde_json::from_value::<RolloutOverride>(nonsense).unwrap_err().to_string();
    assert_eq!((properties("Wanted"), properties("Plan")), (known(wanted), known(plan)));
}

#[test]
fn its_references_resolve() {
    let (document, text) = (document(), pages::OPEN_API);
    let references: BTreeSet<_> = text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20);
    for reference in references {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "#/{reference}");
    }
}

#[test]
fn its_examples_of_changes_parse() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let example = &item["post"]["requestBody"]["content"]["application/json"]["example"];
        if let Some(wanted) = example.get("wanted") {
            serde_json::from_value::<ManifestPatch>(wanted.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        if let Some(plan) = example.get("plan") {
            serde_json::from_value::<RolloutOverride>(plan.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
    let steps = &document["paths"]["/v1/reconcile"]["post"]["responses"]["200"]["content"]["application/x-ndjson"];
    for line in steps["example"].as_str().unwrap().lines() {
        serde_json::from_str::<ChangeStep>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}
