//! Logs every fact of every push as one JSON line, and every client that is gone as another.

use barnabas_sdk::{
    Batch, ExportError, GoneClient, GoneReason, NoSettings, Push, Receiver, Temporality, log, register,
};
use serde_json::{Map, Value, json};

struct Facts;

const NAMES: [&str; 11] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
    "principal",
    "node_id",
    "listener",
    "way_in",
    "push_id",
];

impl Receiver for Facts {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        batch.pushes().for_each(|push| log::info!("{}", facts(&push)));
        batch.gone().iter().for_each(|client| log::info!("{}", gone(client)));
        Ok(())
    }
}

fn gone(client: &GoneClient) -> Value {
    let reason = match client.reason {
        GoneReason::Terminated => "terminated",
        GoneReason::Disconnected => "disconnected",
        GoneReason::Expired => "expired",
    };
    json!({
        "gone": client.client_instance_id,
        "client_id": client.client_id,
        "reason": reason,
        "at": client.at_unix_nanos,
    })
}

fn facts(push: &Push<'_>) -> Value {
    let temporality = match push.temporality() {
        Temporality::None => "none",
        Temporality::Cumulative => "cumulative",
        Temporality::Delta => "delta",
        Temporality::Mixed => "mixed",
    };
    let by_name: Map<String, Value> =
        NAMES.iter().map(|&name| (name.to_owned(), push.fact(name).map_or(Value::Null, Value::from))).collect();
    json!({
        "index": push.index(),
        "client_instance_id": push.client_instance_id(),
        "client_id": push.client_id(),
        "software_name": push.software_name(),
        "software_version": push.software_version(),
        "source_address": push.source_address(),
        "source_port": push.source_port(),
        "principal": push.principal(),
        "id": push.id().to_string(),
        "attempt": push.attempt(),
        "way_in": push.way_in(),
        "terminating": push.terminating(),
        "content_type": push.content_type(),
        "temporality": temporality,
        "points": push.points(),
        "push_interval_ms": push.push_interval().map(|interval| interval.as_millis() as u64),
        "received_at": push.received_at_unix_nanos(),
        "node_id": push.node_id(),
        "trace_parent": push.trace_parent(),
        "bytes": push.bytes().len(),
        "unknown": push.fact("no_such_fact"),
        "facts": by_name,
    })
}

register!(Facts);
