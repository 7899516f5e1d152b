//! The real intake responds correctly to each kind of misbehaviour, and other clients are not affected.

use super::*;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::{Admission, SubscriptionRule};
use barnabas_pipeline::dispatch::{Dispatch, SlotConfig};
use barnabas_pipeline::intake::IntakePipeline;

fn real_intake() -> Arc<IntakePipeline> {
    let events = Events::new();
    let dispatch = Dispatch::new(events.clone());
    dispatch.open("sink", SlotConfig::default()).unwrap();
    let rule = SubscriptionRule::new("all", vec!["*".into()], Some(200), &[]).unwrap();
    let admission = admission::AdmissionConfig { subscriptions: vec![rule], ..admission::AdmissionConfig::default() };
    let decoder = Decoder::new(decode::DecodeConfig::default());
    Arc::new(IntakePipeline::new(Arc::new(Admission::new(admission)), decoder, dispatch, events))
}

#[tokio::test]
async fn every_misbehaviour_gets_the_expected_response() {
    let listener = start_listener(real_intake(), |_| ()).await;
    let options = SimulationOptions { misbehave: 0.5, time: Duration::from_secs(3), ..options(&listener, 16) };
    let report = play(options).await;
    assert_eq!((report.misbehaving_connections, report.clients), (8, 8));
    for (mode, outcome) in [
        (Misbehaviour::NewIds, "UNKNOWN_SUBSCRIPTION_ID (117)"),
        (Misbehaviour::TooSoon, "THROTTLING_QUOTA_EXCEEDED (89)"),
        (Misbehaviour::Garbage, "INVALID_RECORD (87)"),
        (Misbehaviour::Bomb, "TELEMETRY_TOO_LARGE (118)"),
        (Misbehaviour::WrongSubscription, "UNKNOWN_SUBSCRIPTION_ID (117)"),
        (Misbehaviour::HalfFrame, "closed by the client"),
        (Misbehaviour::UnknownCodec, "UNSUPPORTED_COMPRESSION_TYPE (76)"),
        (Misbehaviour::AfterTerminating, "INVALID_REQUEST (42)"),
    ] {
        let answers = report.misbehaviour.get(mode.as_str());
        assert!(answers.is_some_and(|answers| answers.contains_key(outcome)), "{mode}: {answers:?}");
    }
    assert_eq!((report.fault.as_deref(), report.silent, report.lost), (None, 0, 0), "{report}");
    assert!(report.errors.is_empty() && report.pushes > 8, "{report}");
    assert!(report.to_string().contains("misbehaving 8 connections"));
}
