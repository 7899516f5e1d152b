//! Clients that push once each, all of it lent in one batch.

use barnabas::plugin::change::Change;
use barnabas::push::{Codec, InstanceId};

use crate::host::{RunningHost, Setup};
use crate::raw::RawClient;
use crate::swapping;

/// A host whose receiver `otlp` is `plugins/otlp-http` that posts to `url`, one batch at a time.
pub async fn host(url: &str) -> RunningHost {
    let one_at_a_time = format!("{}[limits]\ninstances = 1\n", Setup::destination(url));
    Setup::new().receiver("otlp", "otlp-http", &one_at_a_time).start().await
}

/// Pushes each of these from a client of its own, through the Kafka listener, while the receiver is paused: what it is
/// lent next is a batch of all of them.
pub async fn push_together(host: &RunningHost, pushes: &[Vec<u8>]) {
    swapping::run_change(&host.host.plugins, Change::Pause("otlp".into())).await;
    for (number, push) in pushes.iter().enumerate() {
        let mut client = RawClient::connect(host.kafka(), &format!("client-{number}")).await;
        client.api_versions("apache-kafka-java").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, Codec::None, push, false).await, Some(0));
    }
    swapping::run_change(&host.host.plugins, Change::Resume("otlp".into())).await;
}
