//! What the operator may set, and what is refused before any traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_sdk::settings::{self, Secret};
use barnabas_sdk::{Fact, Label, StartError, http};
use serde::Deserialize;

/// What the operator may set. Only `endpoint` has to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The whole URL, path included: `https://collector.example:4318/v1/metrics`.
    pub endpoint: EndpointUrl,
    /// Sent with each request: credentials, tenants.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// `gzip` or `none`.
    #[serde(default)]
    pub compression: Encoding,
    /// From the first step of a request to the last byte of its answer. Keep it below the plugin's `deadline`.
    #[serde(default = "default_timeout")]
    pub timeout: settings::Duration,
    /// Facts that become resource attributes of the same name, in place of what the client sent. In the default list
    /// are none that may be personal: `principal`, `client_source_address` and `client_source_port` have to be asked
    /// for.
    #[serde(default = "default_labels")]
    pub labels: Vec<Fact>,
    /// Sets `service.instance.id` and `service.name` where the client did not: Prometheus-like sinks tell series apart
    /// by them.
    #[serde(default = "default_true")]
    pub service_attributes: bool,
}

/// How a request's body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// About a tenth of the bytes: metrics repeat themselves.
    #[default]
    Gzip,
    /// As it is.
    None,
}

/// The whole URL of an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct EndpointUrl(http::Url);

impl TryFrom<String> for EndpointUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url: http::Url = text.parse().map_err(|invalid: http::InvalidUrl| invalid.to_string())?;
        // An endpoint at the root is possible, but has to be meant: with the slash.
        if url.path == "/" && !text.ends_with('/') {
            return Err(format!("it has no path; write the whole URL, for OTLP usually `{text}/v1/metrics`"));
        }
        Ok(Self(url))
    }
}

/// Headers that the receiver sets itself.
const RESERVED_HEADERS: [&str; 3] = ["content-type", "content-encoding", "accept-encoding"];
/// What a request may take.
const TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

fn default_timeout() -> settings::Duration {
    settings::Duration::from_secs(10)
}

fn default_labels() -> Vec<Fact> {
    vec![Fact::ClientInstanceId, Fact::ClientId, Fact::ClientSoftwareName, Fact::ClientSoftwareVersion, Fact::NodeId]
}

fn default_true() -> bool {
    true
}

impl Settings {
    pub(crate) fn labels(&self) -> Vec<Label> {
        let mut labels: Vec<_> = self.labels.iter().copied().map(Label::fact).collect();
        if self.service_attributes {
            labels.push(Label::new("service.instance.id", Fact::ClientInstanceId).when_absent());
            labels.push(Label::new("service.name", Fact::ClientId).when_absent());
        }
        labels
    }

    /// All of a request but its body, of which the host says that it can be sent.
    pub(crate) fn request(&self) -> Result<http::Request, StartError> {
        if !TIMEOUT_RANGE.contains(&*self.timeout) {
            return Err(StartError::setting("timeout", "write a duration from 100ms to 300s"));
        }
        let request = http::Request::post(self.endpoint.0.to_string())
            .header("content-type", "application/x-protobuf")
            // Answers are a sentence at most: packed, they would only be larger.
            .header("accept-encoding", "identity")
            .timeout(*self.timeout);
        let mut request = match self.compression {
            Encoding::None => request,
            Encoding::Gzip => request.header("content-encoding", "gzip"),
        };
        request.check().map_err(|error| StartError::setting("endpoint", error))?;
        if !self.headers.keys().any(|name| name.eq_ignore_ascii_case("user-agent")) {
            request = request.header("user-agent", concat!("barnabas-otlp-http/", env!("CARGO_PKG_VERSION")));
        }
        for (name, value) in &self.headers {
            if RESERVED_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                let reason = format!("`{name}` is set by the receiver itself; leave it out");
                return Err(StartError::setting("headers", reason));
            }
            request = request.header(name, value.expose());
        }
        request.check().map_err(|error| StartError::setting("headers", error))?;
        Ok(request)
    }
}
