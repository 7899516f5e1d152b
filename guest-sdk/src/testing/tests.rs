use prost::Message;

use super::{Report, TestPush, batch, http, log_lines, reports};
use crate::otlp::{MetricsData, any_value};
use crate::{ExportError, Fact, GoneReason, Label, Temporality, clock, log, report};

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
fn a_request_has_every_push_with_its_labels() {
    let host = batch([TestPush::gauge("a", 1.0).client_id("one"), TestPush::gauge("b", 2.0)]);
    let labels = [Label::fact(Fact::ClientId), Label::new("protocol", Fact::Ingress)];
    let request = host.lend().otlp_request(&labels).unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        resource_attributes(&request),
        [vec![pair("client_id", "one"), pair("protocol", "sample")], vec![pair("protocol", "sample")]]
    );
}

#[test]
fn label_cap_obeyed() {
    let labels = vec![Label::fact(Fact::ClientId); 22];
    assert!(batch([TestPush::gauge("a", 1.0)]).lend().otlp_request(&labels).is_ok());
}

#[test]
fn label_cap_violated() {
    let labels = vec![Label::fact(Fact::ClientId); 23];
    let refusal = batch([TestPush::gauge("a", 1.0)]).lend().otlp_request(&labels).unwrap_err();
    assert_eq!(refusal, ExportError::other("the request has 23 labels; the limit is 22"));
}

#[test]
fn a_push_has_the_facts_it_was_given_and_no_others() {
    let given = TestPush::gauge("a", 1.5)
        .client_instance_id("AAAAAAAAAAAAAAAAAAAAAA")
        .software("librdkafka", "2.16.0")
        .id(0xab)
        .push_interval(std::time::Duration::from_millis(1500))
        .source("::1".parse().unwrap(), 4711)
        .received_at(clock::from_unix_nanos(17));
    let host = batch([given]);
    let lent = host.lend();
    let push = lent.pushes().next().unwrap();
    assert_eq!(push.client_instance_id().as_deref(), Some("AAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(push.fact(Fact::ClientSoftwareVersion).as_deref(), Some("2.16.0"));
    assert_eq!(push.client_id(), None);
    assert_eq!(push.id().to_string(), "000000000000000000000000000000ab");
    assert_eq!(push.push_interval(), Some(std::time::Duration::from_millis(1500)));
    assert_eq!((push.points(), push.temporality(), push.attempt()), (1, Temporality::None, 1));
    assert_eq!((push.source_address().as_deref(), push.source_port()), (Some("::1"), Some(4711)));
    assert_eq!(push.received_at(), clock::from_unix_nanos(17));
    assert_eq!(push.metrics().resource_metrics.len(), 1);
    assert_eq!(lent.size(), push.bytes().len() as u64);
}

#[test]
fn gone_clients_come_without_pushes() {
    let host = super::gone([super::gone_client("AAAAAAAAAAAAAAAAAAAAAA", GoneReason::Expired)]);
    assert!(host.lend().is_empty());
    let gone = host.lend().gone();
    assert_eq!(gone, [super::gone_client("AAAAAAAAAAAAAAAAAAAAAA", GoneReason::Expired)]);
    assert_eq!(gone[0].reason.to_string(), "expired");
}

#[test]
fn lines_and_reports_are_recorded_until_taken() {
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
fn a_request_without_a_responder_is_denied_and_recorded() {
    let denied = crate::http::Request::get("http://sink/x").send().unwrap_err();
    assert_eq!(denied.kind(), "denied");
    http::respond_with(|request| Ok(http::response(if request.method == "GET" { 200 } else { 405 }, &[], "")));
    assert!(crate::http::Request::get("http://sink/x").send().unwrap().is_success());
    assert_eq!(http::requests().len(), 2);
    assert!(matches!(crate::http::Request::get("sink").send(), Err(crate::http::Error::InvalidRequest(_))));
}

#[test]
fn a_response_reaches_the_receiver_as_the_host_delivers_it() {
    http::respond_with(|_| Ok(http::response(200, &[("Server", "x"), ("Connection", "close")], "123456")));
    let send = |max| crate::http::Request::get("https://sink/x").max_response(max).send().unwrap();
    let whole = send(6);
    assert_eq!((whole.headers.as_slice(), whole.complete), ([("server".to_owned(), "x".to_owned())].as_slice(), true));
    assert_eq!(whole.destination, "sink:443");
    let cut = send(5);
    assert_eq!((cut.body.as_slice(), cut.complete), (b"12345".as_slice(), false));
}

#[test]
fn a_run_reports_what_is_misconfigured() {
    struct Wrong;
    impl crate::Receiver for Wrong {
        type Settings = crate::NoSettings;

        fn start(_: crate::NoSettings) -> Result<Self, crate::StartError> {
            Ok(Self)
        }

        fn export_metrics(&mut self, _: &crate::Batch<'_>) -> Result<(), ExportError> {
            Err(ExportError::misconfigured("no such tenant"))
        }
    }
    let outcome = super::run::<Wrong>("{}", [TestPush::gauge("a", 1.0)]);
    assert_eq!(outcome, Err(ExportError::misconfigured("no such tenant")));
    assert_eq!(reports(), [Report::Misconfigured("no such tenant".into())]);
}

#[test]
fn sums_and_histograms_are_of_one_temporality() {
    let delta = TestPush::sum("a", 1.0, Temporality::Delta);
    let cumulative = TestPush::histogram("b", &[1.0, 2.0], &[3, 0, 1], Temporality::Cumulative);
    let found: Vec<_> = batch([delta, cumulative]).lend().pushes().map(|push| push.temporality().to_string()).collect();
    assert_eq!(found, ["delta", "cumulative"]);
}
