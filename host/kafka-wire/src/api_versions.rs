//! ApiVersions: the versions that we support, and the client's software name and version.

use crate::api;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};

/// Longer names and versions are treated as unknown, since they are kept as long as the client is known.
const MAX_SOFTWARE_BYTES: usize = 255;

/// Name and version of the client's software, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSoftware<'a> {
    /// The name, as sent: perhaps not UTF-8.
    pub name: &'a [u8],
    /// The version of the software, as sent.
    pub version: &'a [u8],
}

/// Reads the body of the request.
pub fn read<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<Option<ClientSoftware<'a>>, Malformed> {
    if version < 3 {
        return Ok(None);
    }
    let name = reader.text(true, "the client software name")?;
    let version = reader.text(true, "the client software version")?;
    reader.skip_tags(true)?;
    Ok(Some(ClientSoftware { name, version }))
}

/// The text, if it follows KIP-511: letters and digits, with dots and dashes between them.
///
/// Apache Kafka rejects other texts; here they count as unknown, since an error would end the client's telemetry for
/// good.
pub fn valid_software_text(text: &[u8]) -> Option<&str> {
    let (first, last) = (text.first()?, text.last()?);
    let good = text.len() <= MAX_SOFTWARE_BYTES
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if good { std::str::from_utf8(text).ok() } else { None }
}

/// The response: its header is version 0 for every version of the request.
pub fn write(correlation: i32, version: i16, offered: &[Api]) -> Vec<u8> {
    let flexible = Api::ApiVersions.is_flexible(version);
    let mut out = WireWriter::response(correlation, false);
    out.i16(api::NONE);
    ranges(&mut out, flexible, offered);
    if version >= 1 {
        out.i32(0);
    }
    out.empty_tags(flexible);
    out.finish()
}

/// The response to a version that is not supported, in the layout of version 0, which every client can read: the client
/// learns the supported range and sends the request again.
pub fn write_unsupported_version(correlation: i32) -> Vec<u8> {
    let mut out = WireWriter::response(correlation, false);
    out.i16(api::UNSUPPORTED_VERSION);
    ranges(&mut out, false, &[Api::ApiVersions]);
    out.finish()
}

fn ranges(out: &mut WireWriter, flexible: bool, offered: &[Api]) {
    out.count(flexible, offered.len());
    for api in offered {
        out.i16(api.key());
        out.i16(api.min_version());
        out.i16(api.max_version());
        out.empty_tags(flexible);
    }
}

#[cfg(test)]
mod tests {
    use super::valid_software_text;

    #[test]
    fn names_follow_kip_511_or_are_unknown() {
        for good in ["a", "librdkafka", "apache-kafka-java", "2.16.1-rdkafka-2.16.0", "0"] {
            assert_eq!(valid_software_text(good.as_bytes()), Some(good));
        }
        for bad in ["", "-a", "a-", ".", "refs/heads/x-src", "a b", "ä", "a\0"] {
            assert_eq!(valid_software_text(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(valid_software_text(&[b'a'; 255]).is_some());
        assert!(valid_software_text(&[b'a'; 256]).is_none());
    }
}
