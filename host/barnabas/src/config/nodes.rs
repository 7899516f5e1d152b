//! The configuration of a cluster's hosts, and which of them are advertised to the clients of a listener.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::raw::{RawConfig, RawListener};
use barnabas_ingress::kafka;

/// `[[node]]`: a host of the cluster, this one or another.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawNode {
    /// Its `node-id`.
    pub id: i32,
    /// The name or address at which clients reach it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The Kafka listener whose clients get it; may be absent if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// Rejects a node that would not be advertised to any client.
pub(super) fn validate(written: &RawConfig) -> Result<()> {
    let kafka = written.listeners.iter().filter(|listener| listener.protocol.is_kafka());
    for RawNode { id, listener, .. } in &written.nodes {
        match listener {
            None => ensure!(
                kafka.clone().next().is_some(),
                "node {id}: no Kafka listener is configured that could advertise it: remove the node or add a listener"
            ),
            Some(name) => ensure!(
                kafka.clone().any(|listener| listener.name == *name),
                "node {id}: `listener` is `{name}`, and there is no Kafka listener with this name: write the name of one"
            ),
        }
    }
    Ok(())
}

/// The hosts that are advertised to the clients of this listener.
pub(super) fn for_listener(written: &RawConfig, listener: &RawListener) -> Result<Vec<kafka::ClusterNode>> {
    let several = written.listeners.iter().filter(|l| l.protocol.is_kafka()).count() > 1;
    let mut nodes = Vec::new();
    for RawNode { id, host, port, listener: of } in &written.nodes {
        match of {
            Some(name) if *name != listener.name => continue,
            None if several => bail!(
                "node {id} has no `listener`, and there are several Kafka listeners: add `listener = \"{}\"` or another one",
                listener.name
            ),
            _ => nodes.push(kafka::ClusterNode { id: *id, host: host.clone(), port: *port }),
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests;
