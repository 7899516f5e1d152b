//! Sends one HTTP request for each batch and logs the result: `status 200, 12 bytes: …` or `failed: denied: …`. Then it
//! accepts the batch.
//!
//! Settings: `url`, `method` (default `GET`), `post_bytes` (size of the body), `timeout_ms` (default 2000).

use std::time::Duration;

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, http, log, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    post_bytes: usize,
    #[serde(default = "two_seconds")]
    timeout_ms: u64,
}

fn get() -> String {
    "GET".to_owned()
}

fn two_seconds() -> u64 {
    2_000
}

struct Fetches(Settings);

impl Receiver for Fetches {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self(settings))
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        let request = http::Request::new(&self.0.method, &self.0.url)
            .timeout(Duration::from_millis(self.0.timeout_ms))
            .body(vec![b'x'; self.0.post_bytes]);
        match request.send() {
            Ok(response) => {
                log::info!("status {}, {} bytes: {}", response.status, response.body.len(), response.text());
            }
            Err(error) => log::info!("failed: {}: {error}", error.kind()),
        }
        Ok(())
    }
}

register!(Fetches);
