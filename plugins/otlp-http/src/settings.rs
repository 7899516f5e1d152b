//! The settings, and their validation before any traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_sdk::settings::{self, Secret};
use barnabas_sdk::{Fact, Label, StartError, http};
use serde::Deserialize;

/// The settings of the operator. Only `endpoint` is required.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The complete URL, including the path: `https://collector.example:4318/v1/metrics`.
    pub endpoint: EndpointUrl,
    /// Headers of each request, for example for credentials or a tenant.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// `gzip` or `none`.
    #[serde(default)]
    pub compression: Encoding,
    /// The maximum duration of a request, up to the last byte of the response. It should be less than the `deadline` of
    /// the plugin.
    #[serde(default = "default_timeout")]
    pub timeout: settings::Duration,
    /// The facts that become resource attributes of the same name; they replace what the client sent. The default does
    /// not include `principal`, `client_source_address` and `client_source_port`, because these may be personal data.
    #[serde(default = "default_labels")]
    pub labels: Vec<Fact>,
    /// Sets `service.instance.id` and `service.name` if the client did not send them: Prometheus and similar sinks
    /// distinguish series by these attributes.
    #[serde(default = "default_true")]
    pub service_attributes: bool,
}

/// How a request's body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// gzip, which reduces the size to about a tenth, because metrics are repetitive.
    #[default]
    Gzip,
    /// No compression.
    None,
}

/// The complete URL of an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct EndpointUrl(http::Url);

impl TryFrom<String> for EndpointUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url: http::Url = text.parse().map_err(|invalid: http::InvalidUrl| invalid.to_string())?;
        // A path of `/` is possible, but the operator must write it explicitly.
        if url.path == "/" && !text.ends_with('/') {
            return Err(format!(
                "the URL has no path; set the complete URL, which is usually `{text}/v1/metrics` for OTLP"
            ));
        }
        Ok(Self(url))
    }
}

/// The headers that the receiver sets itself.
const RESERVED_HEADERS: [&str; 3] = ["content-type", "content-encoding", "accept-encoding"];
/// The allowed range of `timeout`.
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

    /// A request without a body, with a valid URL and valid headers.
    pub(crate) fn request(&self) -> Result<http::Request, StartError> {
        if !TIMEOUT_RANGE.contains(&*self.timeout) {
            return Err(StartError::setting("timeout", "set a duration from 100ms to 300s"));
        }
        let request = http::Request::post(self.endpoint.0.to_string())
            .header("content-type", "application/x-protobuf")
            // A response is a sentence at most; compression would only make it larger.
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
                let reason = format!("the receiver sets the header `{name}` itself; remove it");
                return Err(StartError::setting("headers", reason));
            }
            request = request.header(name, value.expose());
        }
        request.check().map_err(|error| StartError::setting("headers", error))?;
        Ok(request)
    }
}
