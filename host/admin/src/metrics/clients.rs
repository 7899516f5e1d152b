//! Series of single client instances, if the operator enables them.
//!
//! Bounded: by the capacity of admission's table; the most recently active instances are kept. Only an accepted push
//! creates series, so requests under invented ids that are refused displace none. The series of a client end when it is
//! gone.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use barnabas_base::InstanceId;
use barnabas_pipeline::event::EventData;
use barnabas_pipeline::push::Client;

/// By instance; `None` if series are not enabled.
#[derive(Debug)]
pub(super) struct PerClientMetrics(Option<Mutex<LruCache<InstanceId, PerClientCounts>>>);

#[derive(Clone, Copy, Debug, Default)]
struct PerClientCounts {
    throttled: u64,
    exported: u64,
    errors: u64,
}

impl PerClientMetrics {
    pub(super) fn new(most: usize) -> Self {
        Self(NonZeroUsize::new(most).map(|most| Mutex::new(LruCache::sparse(most))))
    }

    pub(super) fn record(&self, data: &EventData) {
        match data {
            EventData::PushAccepted { client, .. } => {
                self.start_series(client);
                self.count(client, |counts| &mut counts.exported);
            }
            EventData::PushRefused { client, code: "throttled" | "over_quota", .. } => {
                self.count(client, |counts| &mut counts.throttled);
            }
            // Kafka's broker also counts pushes that could not be decompressed or parsed as errors.
            EventData::PushRefused { client, code: "invalid_record", .. } => {
                self.count(client, |counts| &mut counts.errors);
            }
            EventData::ClientGone { client, .. } => self.remove(client),
            _ => {}
        }
    }

    fn start_series(&self, client: &Client) {
        let (Some(clients), Some(id)) = (&self.0, client.instance_id) else { return };
        clients.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(id, PerClientCounts::default);
    }

    fn count(&self, client: &Client, which: fn(&mut PerClientCounts) -> &mut u64) {
        let (Some(clients), Some(id)) = (&self.0, client.instance_id) else { return };
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get_mut(&id).into_iter().for_each(|counts| *which(counts) += 1);
    }

    fn remove(&self, client: &Client) {
        let (Some(clients), Some(id)) = (&self.0, client.instance_id) else { return };
        clients.lock().unwrap_or_else(PoisonError::into_inner).pop(&id);
    }

    fn snapshot(&self) -> Vec<(InstanceId, PerClientCounts)> {
        let Some(clients) = &self.0 else { return Vec::new() };
        let clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().map(|(id, counts)| (*id, *counts)).collect()
    }
}

/// A family: its name, its help text, and its value.
type PerClientFamily = (&'static str, &'static str, fn(&PerClientCounts) -> u64);

const FAMILIES: [PerClientFamily; 3] = [
    ("per_client_throttle_count", "Requests of a client that were too early or over a quota.", |c| c.throttled),
    ("per_client_plugin_export_count", "Pushes of a client handed to receivers.", |c| c.exported),
    ("per_client_plugin_error_count", "Pushes of a client that could not be decoded.", |c| c.errors),
];

impl Collector for PerClientMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let clients = self.snapshot();
        // Not every parser accepts a family without samples.
        if clients.is_empty() {
            return Ok(());
        }
        for (name, help, value) in FAMILIES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (id, counts) in &clients {
                let labels = [("client_instance_id", id.to_string())];
                ConstCounter::new(value(counts)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
