//! Forwards each batch as one request to an OTLP/HTTP endpoint, with facts about the clients as resource attributes.
//!
//! Its input is a batch and the [settings](Settings) of the operator. Its output is a `POST` request with one
//! `ExportMetricsServiceRequest`. The status of the response decides the outcome ([`http::Response::outcome`]). The
//! receiver stores nothing between batches, because the host does the queueing and retries. It ignores the notices
//! about gone clients, because OTLP cannot express them.

#![forbid(unsafe_code)]

mod partial_success;
mod settings;

use std::io::Write;

use barnabas_sdk::{Batch, ExportError, Label, Receiver, StartError, http, register};
use flate2::{Compression, write::GzEncoder};

use settings::Encoding;
pub use settings::Settings;

/// The maximum size of a response body. Only the partial-success message and the error message in it are used.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The receiver.
#[derive(Debug)]
pub struct OtlpHttp {
    labels: Vec<Label>,
    /// The template of every request, without the body.
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
        let response = self.request.clone().body(body).send()?;
        response.outcome()?;
        partial_success::report(&response);
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
