//! Forwards each batch as one request to an OTLP/HTTP endpoint, with who sent what as resource attributes.
//!
//! In come batches and the operator's [settings](Settings); out goes `POST` with one `ExportMetricsServiceRequest`; the
//! answer's status decides the outcome ([`http::Response::outcome`]). It holds nothing between batches: the host queues
//! and retries. The endpoint does not learn which clients are gone, since OTLP cannot say it.

#![forbid(unsafe_code)]

mod partial_success;
mod settings;

use std::io::Write;

use barnabas_sdk::{Batch, ExportError, Label, Receiver, StartError, http, register};
use flate2::{Compression, write::GzEncoder};

use settings::Encoding;
pub use settings::Settings;

/// Of an answer only the partial-success message and a sentence for the operator matter.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The receiver.
#[derive(Debug)]
pub struct OtlpHttp {
    labels: Vec<Label>,
    /// What each request begins with; only the body is missing.
    request: http::Request,
    compression: Encoding,
}

impl Receiver for OtlpHttp {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        let (labels, request) = (settings.labels(), settings.request()?);
        Ok(Self { labels, request: request.max_response(MAX_RESPONSE_BYTES), compression: settings.compression })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if batch.is_empty() {
            return Ok(());
        }
        let metrics = batch.otlp_request(&self.labels)?;
        let body = match self.compression {
            Encoding::None => metrics,
            Encoding::Gzip => gzip(&metrics),
        };
        let answer = self.request.clone().body(body).send()?;
        answer.outcome()?;
        partial_success::report(&answer);
        Ok(())
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing into memory does not fail")
}

register!(OtlpHttp);

#[cfg(test)]
mod tests;
