//! The first request of every connection: which requests the broker supports, and in which versions.

use anyhow::{Result, bail};

use super::{ErrorCode, KafkaClient};
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::wire::{Malformed, WireReader};

/// The request contains the software's name since this version; later versions add nothing that is used here.
const VERSION: i16 = 3;

impl KafkaClient {
    /// Sends the software's name and returns the advertised versions. A broker that does not support our version gets
    /// the request in version 0, which every broker answers, without the software's name.
    pub(super) async fn request_api_versions(&mut self, software: &(String, String)) -> Result<Vec<(i16, i16, i16)>> {
        let key = Api::ApiVersions.key();
        let body = self
            .request(key, VERSION, true, |out| {
                out.text(true, Some(software.0.as_bytes()));
                out.text(true, Some(software.1.as_bytes()));
                out.empty_tags(true);
            })
            .await?;
        let (error, offered) = self.check_decoded(read(&body, VERSION))?;
        if error == api::NONE {
            return Ok(offered);
        }
        if error == api::UNSUPPORTED_VERSION {
            let body = self.request(key, 0, false, |_| ()).await?;
            let (error, offered) = self.check_decoded(read(&body, 0))?;
            if error == api::NONE {
                return Ok(offered);
            }
        }
        bail!("{} refused ApiVersions: {}", self.address, ErrorCode(error));
    }
}

/// Error code, and the key, lowest and highest version of each request.
type OfferedVersions = (i16, Vec<(i16, i16, i16)>);

/// Decodes error code and ranges. An unsupported version is answered in the layout of version 0 (KIP-511).
fn read(body: &[u8], version: i16) -> Result<OfferedVersions, Malformed> {
    const WHAT: &str = "the offered requests";
    let mut reader = WireReader::new(body);
    let error = reader.i16("the error code")?;
    let flexible = Api::ApiVersions.is_flexible(version) && error != api::UNSUPPORTED_VERSION;
    let count = reader.count(flexible, if flexible { 7 } else { 6 }, WHAT)?.unwrap_or_default();
    let mut offered = Vec::with_capacity(count);
    for _ in 0..count {
        offered.push((reader.i16(WHAT)?, reader.i16(WHAT)?, reader.i16(WHAT)?));
        reader.skip_tags(flexible)?;
    }
    Ok((error, offered))
}
