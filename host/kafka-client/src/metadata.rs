//! Metadata: the brokers of the cluster, requested without topics.

use anyhow::{Result, bail};

use super::KafkaClient;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{Malformed, WireReader};

/// A broker's description of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// The cluster's id, if it has one.
    pub cluster_id: Option<String>,
    /// The node that accepts changes; -1 if there is none.
    pub controller_id: i32,
    /// All brokers, in the order of the response.
    pub brokers: Vec<BrokerAddress>,
}

/// The address of one broker for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Node id.
    pub node_id: i32,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: i32,
}

impl KafkaClient {
    /// Requests the cluster's brokers.
    ///
    /// # Errors
    ///
    /// As for every request; and if the broker supports no version of Metadata between 1 and 12.
    pub async fn metadata(&mut self) -> Result<ClusterMetadata> {
        let api = Api::Metadata;
        let (least, most) = self.versions(api.key()).unwrap_or((0, -1));
        let version = most.min(api.max_version());
        // Version 0 cannot request no topics and names no controller.
        if version < least.max(1) {
            bail!(
                "{} supports Metadata versions {least} to {most}, and this client 1 to {}",
                self.address,
                api.max_version()
            );
        }
        let flexible = api.is_flexible(version);
        let body = self
            .request(api.key(), version, flexible, |out| {
                out.count(flexible, 0);
                // No topic is to be created, and no authorized operations are requested.
                if version >= 4 {
                    out.bool(false);
                }
                if (8..=10).contains(&version) {
                    out.bool(false);
                }
                if version >= 8 {
                    out.bool(false);
                }
                out.empty_tags(flexible);
            })
            .await?;
        self.check_decoded(read(&body, version, flexible))
    }
}

/// Decodes up to the controller; topics, of which none were requested, are not decoded.
fn read(body: &[u8], version: i16, flexible: bool) -> Result<ClusterMetadata, Malformed> {
    const WHAT: &str = "the brokers";
    let mut reader = WireReader::new(body);
    if version >= 3 {
        reader.i32("the throttle time")?;
    }
    // Node id, length of the host, port, length of the rack.
    let count = reader.count(flexible, if flexible { 11 } else { 12 }, WHAT)?.unwrap_or_default();
    let mut brokers = Vec::new();
    for _ in 0..count {
        let node_id = reader.i32(WHAT)?;
        let host = String::from_utf8_lossy(reader.text(flexible, WHAT)?).into_owned();
        brokers.push(BrokerAddress { node_id, host, port: reader.i32(WHAT)? });
        reader.nullable_text(flexible, "a broker's rack")?;
        reader.skip_tags(flexible)?;
    }
    let cluster_id = if version >= 2 { reader.nullable_text(flexible, "the cluster id")? } else { None };
    let cluster_id = cluster_id.map(|id| String::from_utf8_lossy(id).into_owned());
    Ok(ClusterMetadata { cluster_id, controller_id: reader.i32("the controller")?, brokers })
}
