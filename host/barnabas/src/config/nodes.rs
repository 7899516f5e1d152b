//! What is written about the hosts of a cluster, and what is meant: whom the clients of a listener are told of.

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
    /// The name or address that clients reach it by.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Which Kafka listener's clients this is for; may be left out where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// Refuses a list of hosts that nobody would be told of.
pub(super) fn validate(written: &RawConfig) -> Result<()> {
    let kafka = written.listeners.iter().filter(|listener| listener.protocol.is_kafka());
    for RawNode { id, listener, .. } in &written.nodes {
        match listener {
            None => ensure!(
                kafka.clone().next().is_some(),
                "node {id}: there is no Kafka listener whose clients could be told of it: remove it or add one"
            ),
            Some(name) => ensure!(
                kafka.clone().any(|listener| listener.name == *name),
                "node {id}: `listener` is `{name}`, and no Kafka listener is called that: name one that is"
            ),
        }
    }
    Ok(())
}

/// The hosts that clients of this listener are told of.
pub(super) fn for_listener(written: &RawConfig, listener: &RawListener) -> Result<Vec<kafka::ClusterNode>> {
    let several = written.listeners.iter().filter(|l| l.protocol.is_kafka()).count() > 1;
    let mut nodes = Vec::new();
    for RawNode { id, host, port, listener: of } in &written.nodes {
        match of {
            Some(name) if *name != listener.name => continue,
            None if several => bail!(
                "node {id} does not say for which listener it is, and there are several: add `listener = \"{}\"` or another",
                listener.name
            ),
            _ => nodes.push(kafka::ClusterNode { id: *id, host: host.clone(), port: *port }),
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests;
