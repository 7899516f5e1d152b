//! SaslHandshake (17) and SaslAuthenticate (36), which transport SASL tokens (KIP-43, KIP-152, KIP-368).

use super::request::KafkaRequestHead;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};

/// The response to a token.
#[derive(Debug, Default)]
pub struct SaslReply {
    /// Kafka's error code; see [`crate::api`].
    pub error: i16,
    /// A sentence beside the error code.
    pub message: Option<&'static str>,
    /// The SASL token of the server.
    pub token: Vec<u8>,
    /// In milliseconds; 0 is unlimited.
    pub lifetime: i64,
}

/// The mechanism that the client chose.
pub fn read_handshake<'a>(reader: &mut WireReader<'a>) -> Result<&'a [u8], Malformed> {
    reader.text(false, "the mechanism")
}

/// The client's token.
pub fn read_token<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<&'a [u8], Malformed> {
    let flexible = Api::SaslAuthenticate.is_flexible(version);
    let token = reader.bytes(flexible, "the token")?;
    reader.skip_tags(flexible)?;
    Ok(token)
}

/// The enabled mechanisms are listed even if the chosen one is not among them.
pub fn write_handshake(correlation: i32, error: i16, enabled: &[&str]) -> Vec<u8> {
    let mut out = WireWriter::response(correlation, false);
    out.i16(error);
    out.count(false, enabled.len());
    enabled.iter().for_each(|mechanism| out.text(false, Some(mechanism.as_bytes())));
    out.finish()
}

/// Writes the response to SaslAuthenticate as a frame.
pub fn write_reply(head: &KafkaRequestHead<'_>, reply: &SaslReply) -> Vec<u8> {
    let flexible = head.is_flexible();
    let mut out = WireWriter::response(head.correlation, flexible);
    out.i16(reply.error);
    out.text(flexible, reply.message.map(str::as_bytes));
    out.bytes(flexible, &reply.token);
    if head.version >= 1 {
        out.i64(reply.lifetime);
    }
    out.empty_tags(flexible);
    out.finish()
}
