//! FindCoordinator: there is no coordinator here.
//!
//! Java's group consumers look for their group's coordinator before they look at telemetry, and give up on both if the
//! request is not advertised. If the answer is repeatedly "not available", they push.

use super::request::KafkaRequestHead;
use crate::api;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};

const MESSAGE: &str = "this listener receives client telemetry; it has no groups or transactions";

/// The key is ignored.
pub fn read(reader: &mut WireReader<'_>, version: i16) -> Result<(), Malformed> {
    let flexible = Api::FindCoordinator.is_flexible(version);
    reader.text(flexible, "the key")?;
    if version >= 1 {
        reader.i8("the key type")?;
    }
    reader.skip_tags(flexible)
}

/// Writes the response as a frame.
pub fn write(head: &KafkaRequestHead<'_>) -> Vec<u8> {
    let flexible = head.is_flexible();
    let mut out = WireWriter::response(head.correlation, flexible);
    if head.version >= 1 {
        out.i32(0);
    }
    out.i16(api::COORDINATOR_NOT_AVAILABLE);
    if head.version >= 1 {
        out.text(flexible, Some(MESSAGE.as_bytes()));
    }
    out.i32(-1);
    out.text(flexible, Some(b""));
    out.i32(-1);
    out.empty_tags(flexible);
    out.finish()
}
