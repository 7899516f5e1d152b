//! Metadata: which brokers there are. Asked without topics.

use anyhow::{Result, bail};

use super::Client;
use crate::kafka::api::Api;
use crate::kafka::wire::{Malformed, Reader};

/// What a broker says of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The cluster's id, where it has one.
    pub cluster_id: Option<String>,
    /// The node to ask for changes; -1 where there is none.
    pub controller_id: i32,
    /// All that are told, in the broker's order.
    pub brokers: Vec<Broker>,
}

/// One broker, as clients are told to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub node_id: i32,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: i32,
}

impl Client {
    /// Asks for the cluster's brokers.
    ///
    /// # Errors
    ///
    /// As every request; and a sentence where the broker has no version of Metadata between 1 and 12.
    pub async fn metadata(&mut self) -> Result<Metadata> {
        let api = Api::Metadata;
        let (least, most) = self.versions(api.key()).unwrap_or((0, -1));
        let version = most.min(api.newest());
        // Version 0 cannot ask for no topics and names no controller.
        if version < least.max(1) {
            bail!("{} offers Metadata {least} to {most}, and we speak 1 to {}", self.address, api.newest());
        }
        let flexible = api.is_flexible(version);
        let body = self
            .ask(api.key(), version, flexible, |out| {
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
                out.no_tags(flexible);
            })
            .await?;
        self.understood(read(&body, version, flexible))
    }
}

/// Reads up to the controller; topics, of which none were asked for, stay unread.
fn read(body: &[u8], version: i16, flexible: bool) -> Result<Metadata, Malformed> {
    const WHAT: &str = "the brokers";
    let mut reader = Reader::new(body);
    if version >= 3 {
        reader.i32("the throttle time")?;
    }
    // Node id, length of the host, port, length of the rack.
    let count = reader.count(flexible, if flexible { 11 } else { 12 }, WHAT)?.unwrap_or_default();
    let mut brokers = Vec::new();
    for _ in 0..count {
        let node_id = reader.i32(WHAT)?;
        let host = String::from_utf8_lossy(reader.text(flexible, WHAT)?).into_owned();
        brokers.push(Broker { node_id, host, port: reader.i32(WHAT)? });
        reader.nullable_text(flexible, "a broker's rack")?;
        reader.skip_tags(flexible)?;
    }
    let cluster_id = if version >= 2 { reader.nullable_text(flexible, "the cluster id")? } else { None };
    let cluster_id = cluster_id.map(|id| String::from_utf8_lossy(id).into_owned());
    Ok(Metadata { cluster_id, controller_id: reader.i32("the controller")?, brokers })
}
