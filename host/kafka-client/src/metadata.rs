//! Metadata: which brokers there are. Asked without topics.

use anyhow::{Result, bail};

use super::KafkaClient;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{Malformed, WireReader};

/// What a broker says of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// The cluster's id, where it has one.
    pub cluster_id: Option<String>,
    /// The node to ask for changes; -1 where there is none.
    pub controller_id: i32,
    /// All that are told, in the broker's order.
    pub brokers: Vec<BrokerAddress>,
}

/// One broker, as clients are told to reach it.
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
    /// Asks for the cluster's brokers.
    ///
    /// # Errors
    ///
    /// As every request; and a sentence where the broker has no version of Metadata between 1 and 12.
    pub async fn metadata(&mut self) -> Result<ClusterMetadata> {
        let api = Api::Metadata;
        let (least, most) = self.versions(api.key()).unwrap_or((0, -1));
        let version = most.min(api.max_version());
        // Version 0 cannot ask for no topics and names no controller.
        if version < least.max(1) {
            bail!("{} offers Metadata {least} to {most}, and we speak 1 to {}", self.address, api.max_version());
        }
        let flexible = api.is_flexible(version);
        let body = self
            .request(api.key(), version, flexible, |out| {
                out.count(flexible, 0);
                // No topic is to be made, and nobody asks what is allowed.
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

/// Reads up to the controller; topics, of which none were asked for, stay unread.
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
