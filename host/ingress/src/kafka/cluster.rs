//! Several hosts behind one address: which brokers are advertised to a client.
//!
//! In: the hosts that the operator lists, and the address of this host for the connection. Out: brokers in order of id,
//! always including this host. All hosts must advertise the same list, or clients would see a different cluster
//! depending on which host they ask. Bounded by 100 hosts.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::advertise;
use super::config::KafkaListenerConfig;
use barnabas_kafka_wire::metadata::{AdvertisedBroker, AdvertisedCluster};

/// The most hosts of a cluster: every Metadata response names them all.
pub const MAX_NODES: usize = 100;

/// A host of the cluster, possibly this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its Kafka node id, 0 or more.
    pub id: i32,
    /// The name or address at which clients reach it.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The advertised address of this host: its own entry in the list, or `advertised`.
pub(crate) fn own_address(config: &KafkaListenerConfig) -> Option<(&str, u16)> {
    let listed = config.nodes.iter().find(|node| node.id == config.node_id).map(|node| (node.host.as_str(), node.port));
    listed.or(config.advertised.as_ref().map(|(host, port)| (host.as_str(), *port)))
}

/// Checks the list; the error names the node.
pub(super) fn check(config: &KafkaListenerConfig) -> Result<(), String> {
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    if config.nodes.len() > MAX_NODES {
        return Err(format!("{} nodes are listed; at most {MAX_NODES} can be advertised", config.nodes.len()));
    }
    if let (Some((host, port)), false) = (&config.advertised, config.nodes.iter().any(|node| node.id == config.node_id))
    {
        addresses.insert((host.to_ascii_lowercase(), *port));
    }
    for ClusterNode { id, host, port } in &config.nodes {
        if *id < 0 {
            return Err(format!("node {id}: clients push only to node ids of 0 or more; choose another id"));
        }
        if !ids.insert(*id) {
            return Err(format!("node {id} is listed twice; give each host its own id"));
        }
        if !addresses.insert((host.to_ascii_lowercase(), *port)) {
            return Err(format!(
                "node {id}: another node also has the address `{host}:{port}`; give each node its own"
            ));
        }
        advertise::check(host, *port, config.bind).map_err(|why| format!("node {id}: {why}"))?;
    }
    match (&config.advertised, own_address(config)) {
        (Some((host, port)), Some(listed)) if listed != (host.as_str(), *port) => Err(format!(
            "`advertised` is `{host}:{port}`, but this host, node {}, is listed as `{}:{}`; remove one of them",
            config.node_id, listed.0, listed.1
        )),
        _ => Ok(()),
    }
}

/// The cluster for a client at `peer`, in which this host has the address `own`. A node with a loopback name is
/// advertised only to clients on the same machine, as with `advertised`.
pub(super) fn cluster_for<'a>(
    config: &'a KafkaListenerConfig,
    own: &'a (String, u16),
    peer: Option<SocketAddr>,
) -> AdvertisedCluster<'a> {
    let others = config.nodes.iter().filter(|node| node.id != config.node_id);
    let others = others.filter(|node| advertise::may_advertise(&node.host, peer));
    let mut brokers: Vec<_> =
        others.map(|node| AdvertisedBroker { node_id: node.id, host: &node.host, port: node.port }).collect();
    brokers.push(AdvertisedBroker { node_id: config.node_id, host: &own.0, port: own.1 });
    brokers.sort_by_key(|broker| broker.node_id);
    AdvertisedCluster { id: &config.cluster_id, brokers }
}

#[cfg(test)]
mod tests;
