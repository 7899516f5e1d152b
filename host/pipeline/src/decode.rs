//! From bytes on the wire to a checked payload: decompression under limits, conversion of JSON to protobuf, then a
//! check of the OTLP message.
//!
//! In: [`Admitted`]. Out: [`Decoded`], whose [`Payload`] only this module can create; otherwise a [`Refusal`]. Bounded:
//! by limits on the output bytes and on their ratio to the wire bytes. Never: builds OTLP structs, does I/O or guesses
//! a codec.

mod config;
mod decompress;
mod identity;
mod json;
mod normalise;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barnabas_otlp::walk::{self, CheckError, PushSummary};
use bytes::Bytes;

use crate::admission::{Admitted, Refusal};
use crate::push::{Client, Format, Ingress, Push, PushId};
use barnabas_base::Codec;
use decompress::{DecompressError, DecompressLimits, WINDOW, with_scratch};
use json::JsonError;

pub use config::DecodeConfig;
pub use identity::IdentityRule;
pub use normalise::NormaliseConfig;

/// How the sums of a push relate to time, according to its points.
pub use barnabas_otlp::walk::PushTemporality;

/// The most bytes of a light push, before and after decompression: the work that a thread may do immediately although
/// other connections wait for it. Ordinary pushes have 10 to 60 KiB.
pub const LIGHT_BYTES: usize = 256 << 10;
/// The same for JSON, which takes about ten times as long to parse.
pub const LIGHT_JSON_BYTES: usize = LIGHT_BYTES / 16;

/// Why a push did not become a payload.
enum DecodeStop {
    Refused(Refusal),
    /// It is not light.
    TooHeavy,
}

impl From<Refusal> for DecodeStop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The result of decoding a push.
#[derive(Debug)]
pub enum Decoded {
    /// A push without metrics.
    Empty,
    /// A payload for dispatch.
    Payload(Payload),
}

/// A checked push: `bytes` is one valid OTLP `MetricsData` message.
#[derive(Debug)]
pub struct Payload {
    client: Arc<Client>,
    id: PushId,
    ingress: Ingress,
    received_at: SystemTime,
    terminating: bool,
    push_interval: Option<Duration>,
    node_id: Option<i32>,
    trace_parent: Option<Arc<str>>,
    bytes: Bytes,
    wire_len: usize,
    points: u32,
    temporality: PushTemporality,
    repaired_strings: u32,
    forms: normalise::NormalisedForms,
}

/// Decodes pushes. Shared by all threads; each thread has its own contexts and buffers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    config: DecodeConfig,
}

impl Decoder {
    /// A decoder with these limits.
    pub fn new(config: DecodeConfig) -> Self {
        Self { config }
    }

    /// Decompresses and checks a push; only the limits bound the time that this takes.
    pub fn decode(&self, admitted: Admitted) -> Result<Decoded, Refusal> {
        let (push, codec) = admitted.parts();
        let checked = self.decode_within(push, codec, usize::MAX).map_err(|halt| match halt {
            DecodeStop::Refused(refusal) => refusal,
            DecodeStop::TooHeavy => self.config.exceeded(codec, push.wire.len()),
        })?;
        Ok(Decoded::new(admitted, checked))
    }

    /// As [`Decoder::decode`], but returns a push that is not light: one with more than [`LIGHT_BYTES`] bytes (for
    /// JSON, [`LIGHT_JSON_BYTES`]) before or after decompression. No codec declares a size that could be trusted, so
    /// the push is decompressed up to that bound. This work is lost for a push that is returned: it has to be decoded
    /// from the start.
    pub fn decode_light(&self, admitted: Admitted) -> Result<Result<Decoded, Refusal>, Admitted> {
        let (push, codec) = admitted.parts();
        let light = if push.format == Format::Json { LIGHT_JSON_BYTES } else { LIGHT_BYTES };
        if push.wire.len() > light {
            return Err(admitted);
        }
        match self.decode_within(push, codec, light) {
            Ok(checked) => Ok(Ok(Decoded::new(admitted, checked))),
            Err(DecodeStop::Refused(refusal)) => Ok(Err(refusal)),
            Err(DecodeStop::TooHeavy) => Err(admitted),
        }
    }

    /// Decodes with at most `max_bytes` of output from the codec.
    fn decode_within(
        &self,
        push: &Push,
        codec: Codec,
        max_bytes: usize,
    ) -> Result<Option<(Bytes, PushSummary)>, DecodeStop> {
        match (push.format, codec) {
            // Zero bytes are a protobuf message without metrics, but not valid JSON.
            (Format::Protobuf, _) if push.wire.is_empty() => Ok(None),
            (Format::Protobuf, Codec::None) => Ok(self.decode_plain(&push.wire)?),
            (Format::Protobuf, _) => self.decode_compressed(codec, &push.wire, max_bytes),
            (Format::Json, _) => self.decode_json(codec, &push.wire, max_bytes),
        }
    }

    fn limits(&self, wire_len: usize, max_bytes: usize) -> DecompressLimits {
        DecompressLimits { output: self.config.output_limit(wire_len).min(max_bytes), block: max_bytes }
    }

    /// Uses the wire bytes themselves, which are copied only to be repaired.
    fn decode_plain(&self, wire: &Bytes) -> Result<Option<(Bytes, PushSummary)>, Refusal> {
        if wire.len() > self.config.max_output {
            return Err(self.config.exceeded(Codec::None, wire.len()));
        }
        let summary = walk::check(wire).map_err(not_otlp)?;
        if summary.bad_strings == 0 {
            return Ok(Some((wire.clone(), summary)));
        }
        let mut mended = wire.to_vec();
        walk::repair(&mut mended);
        Ok(Some((mended.into(), summary)))
    }

    fn decode_compressed(
        &self,
        codec: Codec,
        wire: &[u8],
        max_bytes: usize,
    ) -> Result<Option<(Bytes, PushSummary)>, DecodeStop> {
        with_scratch(codec, wire, self.limits(wire.len(), max_bytes), |unpacked| {
            let bytes = unpacked.map_err(|stop| self.stop_reason(codec, wire.len(), max_bytes, stop))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let summary = walk::check(bytes).map_err(not_otlp)?;
            if summary.bad_strings > 0 {
                walk::repair(bytes);
            }
            // Copied out, so that the thread keeps its buffer and a queued payload has no spare capacity.
            Ok(Some((Bytes::copy_from_slice(bytes), summary)))
        })
    }

    /// The limits apply to the text and to its conversion.
    fn decode_json(
        &self,
        codec: Codec,
        wire: &[u8],
        max_bytes: usize,
    ) -> Result<Option<(Bytes, PushSummary)>, DecodeStop> {
        if codec == Codec::None {
            return Ok(self.transcode_json(codec, wire)?);
        }
        with_scratch(codec, wire, self.limits(wire.len(), max_bytes), |unpacked| {
            let text = unpacked.map_err(|stop| self.stop_reason(codec, wire.len(), max_bytes, stop))?;
            Ok(self.transcode_json(codec, text)?)
        })
    }

    fn transcode_json(&self, codec: Codec, text: &[u8]) -> Result<Option<(Bytes, PushSummary)>, Refusal> {
        let too_long = || self.config.exceeded(codec, self.config.max_output);
        if text.len() > self.config.max_output {
            return Err(too_long());
        }
        let bytes = json::to_protobuf(text, self.config.max_output).map_err(|why| match why {
            JsonError::TooLarge => too_long(),
            JsonError::Invalid(why) => Refusal::InvalidRecord(why.into()),
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let summary = walk::check(&bytes).map_err(not_otlp)?;
        Ok(Some((bytes.into(), summary)))
    }

    #[cold]
    fn stop_reason(&self, codec: Codec, wire_len: usize, max_bytes: usize, stop: DecompressError) -> DecodeStop {
        DecodeStop::Refused(match stop {
            DecompressError::Limit if max_bytes < usize::MAX => return DecodeStop::TooHeavy,
            DecompressError::Limit => self.config.exceeded(codec, wire_len),
            DecompressError::Window => {
                Refusal::TooLarge(format!("{codec}: a frame requires a window of more than {WINDOW} bytes"))
            }
            DecompressError::Corrupt(why) => Refusal::InvalidRecord(format!("{codec}: {why}").into()),
        })
    }
}

/// The number of data points in the body of an OTLP request: `ExportMetricsServiceRequest` is encoded like
/// `MetricsData`. `None` if the body is not one, or has more than 16 MiB.
pub fn count_points(body: &[u8], gzip: bool) -> Option<u64> {
    let count = |bytes: &[u8]| walk::check(bytes).ok().map(|summary| summary.points.into());
    if !gzip {
        return count(body);
    }
    with_scratch(Codec::Gzip, body, DecodeConfig::default().max_output, |unpacked| count(unpacked.ok()?))
}

fn not_otlp(error: CheckError) -> Refusal {
    Refusal::InvalidRecord(error.to_string().into())
}

impl Decoded {
    fn new(admitted: Admitted, checked: Option<(Bytes, PushSummary)>) -> Self {
        match checked {
            None => Self::Empty,
            Some((bytes, summary)) => Self::Payload(Payload::new(admitted.into_parts().0, bytes, summary)),
        }
    }
}

impl Payload {
    fn new(push: Push, bytes: Bytes, summary: PushSummary) -> Self {
        Self {
            id: PushId::for_push(&push),
            client: push.client,
            ingress: push.ingress,
            received_at: push.received_at,
            terminating: push.terminating,
            push_interval: push.push_interval,
            node_id: push.node_id,
            trace_parent: push.trace_parent,
            bytes,
            wire_len: push.wire.len(),
            points: summary.points,
            temporality: summary.temporality,
            repaired_strings: summary.bad_strings,
            forms: normalise::NormalisedForms::default(),
        }
    }
}

#[allow(missing_docs, reason = "each names a field that `Push` documents, or says below what it adds")]
impl Payload {
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }
    pub fn id(&self) -> PushId {
        self.id
    }
    pub fn ingress(&self) -> Ingress {
        self.ingress
    }
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }
    pub fn terminating(&self) -> bool {
        self.terminating
    }
    pub fn push_interval(&self) -> Option<Duration> {
        self.push_interval
    }
    pub fn node_id(&self) -> Option<i32> {
        self.node_id
    }
    pub fn trace_parent(&self) -> Option<&str> {
        self.trace_parent.as_deref()
    }
    /// The bytes, decompressed, checked and repaired.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// The number of bytes before decompression.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }
    /// The number of data points.
    pub fn points(&self) -> u32 {
        self.points
    }
    pub fn temporality(&self) -> PushTemporality {
        self.temporality
    }
    /// The number of strings whose UTF-8 was repaired.
    pub fn repaired_strings(&self) -> u32 {
        self.repaired_strings
    }
}
