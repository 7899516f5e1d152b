//! Logs all facts of each push as one JSON line, and one JSON line for each client that is gone.

use barnabas_sdk::{
    Batch, ExportError, Fact, GoneClient, NoSettings, Push, Receiver, StartError, clock, log, register,
};
use serde_json::{Map, Value, json};

struct FactLogger;

impl Receiver for FactLogger {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        batch.pushes().for_each(|push| log::info!("{}", facts(&push)));
        batch.gone().iter().for_each(|client| log::info!("{}", gone(client)));
        Ok(())
    }
}

fn gone(client: &GoneClient) -> Value {
    json!({
        "gone": client.client_instance_id,
        "client_id": client.client_id,
        "reason": client.reason.to_string(),
        "at": clock::unix_nanos(client.at),
    })
}

fn facts(push: &Push<'_>) -> Value {
    let known = |&fact: &Fact| (fact.to_string(), push.fact(fact).map_or(Value::Null, Value::from));
    let by_name: Map<String, Value> = Fact::ALL.iter().map(known).collect();
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
        "ingress": push.ingress(),
        "terminating": push.terminating(),
        "content_type": push.content_type(),
        "temporality": push.temporality().to_string(),
        "points": push.points(),
        "push_interval_ms": push.push_interval().map(|interval| interval.as_millis() as u64),
        "received_at": clock::unix_nanos(push.received_at()),
        "node_id": push.node_id(),
        "trace_parent": push.trace_parent(),
        "bytes": push.bytes().len(),
        "unknown": push.fact_by_name("no_such_fact"),
        "facts": by_name,
    })
}

register!(FactLogger);
