//! Stand-in until the egress guard is merged: refuses every request.

use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::event::Events;

/// Destinations.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<String>);

impl Grants {
    /// From the manifest.
    pub fn parse(http: &[String], _addresses: &[String]) -> Result<Self, String> {
        Ok(Self(http.to_vec()))
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What was asked for.
#[derive(Debug, Default)]
pub struct Captured;

/// What becomes of requests.
#[derive(Clone, Debug)]
pub enum EgressMode {
    /// Into the world.
    Send,
    /// Recorded.
    Capture(Arc<Captured>),
}

/// The guard.
#[derive(Clone)]
pub struct Egress;

impl Egress {
    /// For one plugin.
    pub fn new(_: Arc<str>, _: Arc<Grants>, _: EgressMode, _: Events) -> Self {
        Self
    }
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = wasmtime_wasi_http::Result<(
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = Result<(), Error>> + Send>,
                )>,
            > + Send,
    > {
        Box::new(async { Err(Error::HttpRequestDenied.into()) })
    }
}
