//! Decoding of a request's head, and reading of its body.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::answer::ExportProblem;
use super::{OtlpHttpConfig, trace_parent};
use crate::budget::Hold;
use barnabas_base::Codec;
use barnabas_pipeline::push::{Client, Format, Ingress, Push};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The budget is asked in steps of this size: peers that send single bytes would be charged a KiB for each otherwise.
const STEP: usize = 16 * 1024;
/// How many times the cap is read and discarded before a body that is too large closes its connection.
const DISCARD_FACTOR: usize = 16;

/// What a request's head says about its body.
#[derive(Debug)]
pub(super) struct OtlpRequestHead {
    format: Format,
    codec: Codec,
    trace_parent: Option<Arc<str>>,
}

impl OtlpRequestHead {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ExportProblem> {
        let format = match media_type(headers) {
            protobuf if protobuf.eq_ignore_ascii_case(PROTOBUF) => Format::Protobuf,
            _ if is_json(headers) => Format::Json,
            other => return Err(ExportProblem::unsupported_content_type(other)),
        };
        Ok(Self { format, codec: codec(headers)?, trace_parent: trace_parent(headers) })
    }

    pub(super) fn into_push(self, client: Arc<Client>, wire: Bytes) -> Push {
        Push {
            client,
            ingress: Ingress::OtlpHttp,
            received_at: SystemTime::now(),
            terminating: false,
            subscription_id: None,
            codec: self.codec.id(),
            format: self.format,
            wire,
            push_interval: None,
            node_id: None,
            trace_parent: self.trace_parent,
        }
    }
}

/// Whether the body is JSON, and so will be the response.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case(JSON)
}

/// Without parameters; empty if there is none.
fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn codec(headers: &HeaderMap) -> Result<Codec, ExportProblem> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let first = encodings.next().map_or(Ok(""), |v| v.to_str());
    match first.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        // No exporter nests encodings, and undoing two would cost twice as much.
        _ if encodings.next().is_some() => Err(ExportProblem::unsupported_encoding("several")),
        Ok("" | "identity") => Ok(Codec::None),
        Ok("gzip") => Ok(Codec::Gzip),
        Ok("zstd") => Ok(Codec::Zstd),
        Ok(other) => Err(ExportProblem::unsupported_encoding(other)),
        Err(_) => Err(ExportProblem::unsupported_encoding("unreadable")),
    }
}

/// A malformed header counts as absent, as the specification requires.
fn trace_parent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(TRACE_PARENT)?.to_str().ok()?.trim();
    trace_parent::is_valid(text).then(|| text.into())
}

/// Reads the whole body, within the listener's limits. Its bytes are reserved in the budget as they arrive, so a peer
/// that announces a large body and sends little reserves little.
pub(super) async fn body(request: Request, config: &OtlpHttpConfig, hold: &mut Hold) -> Result<Bytes, ExportProblem> {
    let mut body = request.into_body();
    let cap = config.max_body;
    let mut until = BodyDeadline(Instant::now() + config.body, config.body);
    let (mut whole, mut held) = (BytesMut::new(), 0);
    while let Some(frame) = until.read(body.frame()).await? {
        let Ok(data) = frame.map_err(|e| ExportProblem::unreadable_body(&e))?.into_data() else { continue };
        if data.len() > cap - whole.len() {
            drop(whole);
            until.read(discard(body, cap)).await?;
            return Err(ExportProblem::too_large(cap));
        }
        while held < whole.len() + data.len() {
            until.wait_for_budget(hold.grow(STEP)).await?;
            held += STEP;
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads and discards for a while: a sender whose connection breaks while it is still writing never sees the response,
/// and sends the same body again and again.
async fn discard(mut body: Body, cap: usize) {
    let mut left = cap.saturating_mul(DISCARD_FACTOR);
    while let Some(Ok(frame)) = body.frame().await {
        let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = less;
    }
}

/// One deadline for a whole body; the error depends on whether the sender or the budget caused the wait.
struct BodyDeadline(Instant, Duration);

impl BodyDeadline {
    async fn read<T>(&mut self, frame: impl Future<Output = T>) -> Result<T, ExportProblem> {
        timeout_at(self.0, frame).await.map_err(|_| ExportProblem::body_timeout(self.1))
    }

    async fn wait_for_budget<T>(&mut self, grown: impl Future<Output = T>) -> Result<T, ExportProblem> {
        timeout_at(self.0, grown)
            .await
            .map_err(|_| ExportProblem::unavailable("the host's request memory (`limits.request-bytes`) is exhausted"))
    }
}
