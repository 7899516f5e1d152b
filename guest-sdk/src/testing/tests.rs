use prost::Message;

use super::{Push, Report, batch, http, log_lines, reports};
use crate::otlp::{MetricsData, any_value};
use crate::{GoneClient, GoneReason, Label, Temporality, log, report};

fn resource_attributes(request: &[u8]) -> Vec<Vec<(String, String)>> {
    let decoded = MetricsData::decode(request).unwrap();
    let text = |value: Option<any_value::Value>| match value {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    let attributes =
        decoded.resource_metrics.into_iter().map(|metrics| metrics.resource.unwrap_or_default().attributes);
    attributes
        .map(|pairs| pairs.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect())
        .collect()
}

#[test]
fn a_request_holds_every_push_with_the_labels_it_has() {
    let host = batch([Push::gauge("a", 1.0).client_id("one"), Push::gauge("b", 2.0)]);
    let labels = [Label::fact("client_id"), Label::new("door", "way_in")];
    let request = host.lend().otlp_request(&labels).unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        resource_attributes(&request),
        [vec![pair("client_id", "one"), pair("door", "sample")], vec![pair("door", "sample")]]
    );
}

#[test]
fn a_label_of_an_unknown_fact_is_refused_by_name() {
    let refusal = batch([]).lend().otlp_request(&[Label::fact("client")]).unwrap_err();
    assert!(refusal.contains("`client`"), "{refusal}");
}

#[test]
fn a_push_tells_what_it_was_given_and_no_more() {
    let mut given = Push::gauge("a", 1.5).client_instance_id("AAAAAAAAAAAAAAAAAAAAAA").software("librdkafka", "2.16.0");
    given.id = 0xab;
    given.push_interval_ms = Some(1500);
    let host = batch([given]);
    let lent = host.lend();
    let push = lent.pushes().next().unwrap();
    assert_eq!(push.client_instance_id().as_deref(), Some("AAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(push.fact("client_software_version").as_deref(), Some("2.16.0"));
    assert_eq!(push.client_id(), None);
    assert_eq!(push.id().to_string(), "000000000000000000000000000000ab");
    assert_eq!(push.push_interval(), Some(std::time::Duration::from_millis(1500)));
    assert_eq!((push.points(), push.temporality(), push.attempt()), (1, Temporality::None, 1));
    assert_eq!(push.metrics().unwrap().resource_metrics.len(), 1);
    assert_eq!(lent.size(), push.bytes().len() as u64);
}

#[test]
fn gone_clients_come_without_pushes() {
    let client = GoneClient {
        client_instance_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        client_id: None,
        reason: GoneReason::Expired,
        at_unix_nanos: 7,
    };
    let host = super::gone([client]);
    assert!(host.lend().is_empty());
    assert_eq!(host.lend().gone().first().map(|client| client.reason), Some(GoneReason::Expired));
}

#[test]
fn lines_and_reports_are_kept_until_taken() {
    log::warn!("{} of {}", 1, 2);
    report::misconfigured("no such tenant");
    report::rejected_points(3, "too old");
    let lines = log_lines();
    assert_eq!((lines.len(), lines[0].level, lines[0].line.as_str()), (1, log::Level::Warn, "1 of 2"));
    assert_eq!(
        reports(),
        [Report::Misconfigured("no such tenant".into()), Report::RejectedPoints(3, "too old".into())]
    );
    assert!(log_lines().is_empty() && reports().is_empty());
}

#[test]
fn a_request_without_an_arranged_answer_is_denied_and_kept() {
    let denied = crate::http::Request::get("http://sink/x").send().unwrap_err();
    assert_eq!(denied.kind(), "denied");
    http::answer(|request| Ok(crate::http::Response::new(if request.method == "GET" { 200 } else { 405 })));
    assert!(crate::http::Request::get("http://sink/x").send().unwrap().is_success());
    assert_eq!(http::requests().len(), 2);
    assert!(matches!(crate::http::Request::get("sink").send(), Err(crate::http::Error::InvalidRequest(_))));
}
