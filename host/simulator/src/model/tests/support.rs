//! Fixtures for the tests of the models.

use std::time::Duration;

use crate::model::{ClientKind, Model, ModelSubscription, TelemetryRequest};
use barnabas_base::InstanceId;

pub(super) const ID: InstanceId = InstanceId::from_bytes([7; 16]);
pub(super) const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Subscription 1: all metrics, every minute.
pub(super) fn subscription() -> ModelSubscription {
    ModelSubscription {
        instance: ID,
        subscription_id: 1,
        codecs: vec![4, 3, 1, 2],
        interval: MINUTE,
        metrics: vec!["*".into()],
        delta: false,
    }
}

pub(super) fn get(instance: InstanceId) -> TelemetryRequest {
    TelemetryRequest::Get { instance }
}

pub(super) fn push(subscription_id: i32) -> TelemetryRequest {
    TelemetryRequest::Push { instance: ID, subscription_id, terminating: false }
}

/// A client with its first Get in flight.
pub(super) fn asking(kind: ClientKind) -> Model {
    let mut model = Model::new(kind, 1);
    model.connected(Duration::ZERO, true);
    assert_eq!(model.next(), Some((Duration::ZERO, get(InstanceId::NIL))));
    model.sent(Duration::ZERO);
    model
}

/// A client with a push in flight, and the time of that push.
pub(super) fn pushing(kind: ClientKind) -> (Model, Duration) {
    let mut model = asking(kind);
    model.answered_get(Duration::ZERO, Ok(subscription()));
    let (due, ask) = model.next().expect("the client has a subscription");
    assert_eq!(ask, push(1));
    model.sent(due);
    assert_eq!(model.next(), None, "the client waits for the response");
    (model, due)
}
