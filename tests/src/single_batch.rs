//! Clients that push once each, with all the pushes leased in one batch.

use barnabas_base::{Codec, InstanceId};
use barnabas_lifecycle::change::PluginChange;

use crate::host::{RunningHost, Setup};
use crate::raw::RawClient;
use crate::swapping;

/// A host whose receiver `otlp` is `plugins/otlp-http`, posts to `url`, and handles one batch at a time.
pub async fn host(url: &str) -> RunningHost {
    let one_at_a_time = format!("{}[limits]\ninstances = 1\n", Setup::destination(url));
    Setup::new().receiver("otlp", "otlp-http", &one_at_a_time).start().await
}

/// Pushes each payload from a separate client through the Kafka listener while the receiver is paused, so that the next
/// lease contains all of them.
pub async fn push_together(host: &RunningHost, pushes: &[Vec<u8>]) {
    swapping::run_change(&host.host.plugins, PluginChange::Pause("otlp".into())).await;
    for (number, push) in pushes.iter().enumerate() {
        let mut client = RawClient::connect(host.kafka(), &format!("client-{number}")).await;
        client.api_versions("apache-kafka-java").await;
        let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
        assert_eq!(client.push(&subscribed, Codec::None, push, false).await, Some(0));
    }
    swapping::run_change(&host.host.plugins, PluginChange::Resume("otlp".into())).await;
}
