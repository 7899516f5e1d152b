//! Forwards each batch as one request to an OTLP/HTTP endpoint, with who sent what as resource attributes.
//!
//! In come batches and the operator's [settings](Settings); out goes `POST` with one `ExportMetricsServiceRequest`;
//! the answer decides the outcome (module `answer`). It holds nothing between batches: the host queues and retries. Clients
//! that are gone are not told to the endpoint, since OTLP has no word for it.

#![forbid(unsafe_code)]

mod answer;
mod settings;

use std::io::Write;
use std::time::Duration;

use barnabas_sdk::{Batch, ExportError, Label, Receiver, http, register};
use flate2::{Compression, write::GzEncoder};

use settings::Encoding;
pub use settings::Settings;

/// Of an answer only the partial-success message and a sentence for the operator matter.
const MAX_ANSWER: usize = 64 * 1024;

/// The receiver.
#[derive(Debug)]
pub struct OtlpHttp {
    settings: Settings,
    endpoint: http::Url,
    labels: Vec<Label>,
    timeout: Duration,
}

impl Receiver for OtlpHttp {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, String> {
        let endpoint = settings.endpoint_url()?;
        let labels = settings.labels()?;
        settings.check_headers()?;
        let timeout = settings.timeout()?;
        Ok(Self { settings, endpoint, labels, timeout })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if batch.is_empty() {
            return Ok(());
        }
        let request = batch.otlp_request(&self.labels)?;
        match self.request(request).send() {
            Ok(response) => answer::outcome(&response, &self.endpoint),
            Err(error) => Err(answer::no_answer(&error, &self.endpoint)),
        }
    }
}

impl OtlpHttp {
    fn request(&self, body: Vec<u8>) -> http::Request {
        let mut request = http::Request::post(&self.settings.endpoint)
            .header("content-type", "application/x-protobuf")
            .header("user-agent", concat!("barnabas-otlp-http/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .max_response(MAX_ANSWER);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        match self.settings.compression {
            Encoding::None => request.body(body),
            Encoding::Gzip => request.header("content-encoding", "gzip").body(gzip(&body)),
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing into memory does not fail")
}

register!(OtlpHttp);

#[cfg(test)]
mod tests;
