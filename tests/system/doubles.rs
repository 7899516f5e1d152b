//! Compares the SDK's test doubles with the host: a receiver that passes its native tests must behave the same in the
//! host.

use barnabas_sdk::testing;
use barnabas_test_guests::requests::cases;
use barnabas_tests::sink::OtlpSink;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_rejected_natively_as_in_a_host() {
    let sink = OtlpSink::start().await;
    sink.always(Some(200));
    let url = sink.url();
    let guest = barnabas_tests::guests::path("requests").display().to_string();
    let setting = format!("url={url}");
    let said = tokio::task::spawn_blocking(move || {
        barnabas_tests::command::stdout(&["plugin", "run", &guest, "--set", &setting, "--egress", "send"])
    });
    let said = said.await.unwrap();
    let hosted: Vec<&str> = said.lines().filter_map(|line| line.get(line.find("case ")?..)).collect();

    testing::http::respond_with(|_| Ok(testing::http::response(200, &[], "")));
    let native: Vec<_> = cases(&url).into_iter().map(|case| (case.name, case.outcome())).collect();

    assert_eq!(hosted.len(), native.len(), "{said}");
    for (number, (hosted, (name, native))) in hosted.iter().zip(&native).enumerate() {
        assert_eq!(*hosted, format!("case {number}: {native}"), "{name:?}: in the host, and natively");
    }
    // The results differ between the cases, so the comparison is not vacuous.
    let refused = native.iter().filter(|(_, outcome)| outcome.starts_with("Err")).count();
    assert!(refused > 30 && refused < native.len() - 15, "{refused} of {}", native.len());
    assert_eq!(sink_saw(&sink), testing::http::requests().len(), "a rejected request is not sent");
}

fn sink_saw(sink: &OtlpSink) -> usize {
    sink.received().len() + sink.refused()
}
