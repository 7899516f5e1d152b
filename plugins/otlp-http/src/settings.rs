//! What the operator may set, and what is refused before any traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_sdk::{Label, http};
use serde::Deserialize;

/// What the operator may set. Only `endpoint` has to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The whole URL, path included: `https://collector.example:4318/v1/metrics`.
    pub endpoint: String,
    /// Sent with each request: credentials, tenants.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `gzip` or `none`.
    #[serde(default)]
    pub compression: Encoding,
    /// From the first step of a request to the last byte of its answer. Keep it below the plugin's `deadline`.
    /// Written as `10s` or `1500ms`.
    #[serde(default = "default_timeout")]
    pub timeout: String,
    /// Facts that become resource attributes of the same name, in place of what the client sent. In the default list
    /// are none that may be personal: `principal`, `client_source_address` and `client_source_port` have to be asked
    /// for.
    #[serde(default = "default_labels")]
    pub labels: Vec<String>,
    /// Sets `service.instance.id` and `service.name` where the client did not: Prometheus-like sinks tell series apart
    /// by them.
    #[serde(default = "yes")]
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

/// Facts that a client's series may be labelled with.
const LABELS: [&str; 11] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "node_id",
    "principal",
    "client_source_address",
    "client_source_port",
    "listener",
    "way_in",
    "push_id",
];

/// Headers that are the receiver's or the connection's own.
const OWN_HEADERS: [&str; 6] =
    ["content-type", "content-encoding", "content-length", "transfer-encoding", "connection", "host"];

fn default_timeout() -> String {
    "10s".to_owned()
}

fn default_labels() -> Vec<String> {
    LABELS.iter().take(5).map(|&name| name.to_owned()).collect()
}

fn yes() -> bool {
    true
}

impl Settings {
    pub(crate) fn timeout(&self) -> Result<Duration, String> {
        let refused = || format!("`timeout` is `{}`; write a duration from 100ms to 300s", self.timeout);
        let text = self.timeout.trim();
        // In this order: `ms` ends with `s` too.
        let millis = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(millis), _) => millis.trim().parse::<u64>().ok(),
            (None, Some(seconds)) => seconds.trim().parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
            (None, None) => None,
        };
        let millis = millis.filter(|millis| (100..=300_000).contains(millis)).ok_or_else(refused)?;
        Ok(Duration::from_millis(millis))
    }

    pub(crate) fn endpoint_url(&self) -> Result<http::Url, String> {
        let url: http::Url = self.endpoint.parse().map_err(|cause| format!("`endpoint`: {cause}"))?;
        // A sink at the root is possible, but has to be meant: with the slash.
        if url.path == "/" && !self.endpoint.ends_with('/') {
            return Err(format!(
                "`endpoint` has no path; write the whole URL, for OTLP usually `{}/v1/metrics`",
                self.endpoint
            ));
        }
        Ok(url)
    }

    pub(crate) fn labels(&self) -> Result<Vec<Label>, String> {
        if let Some(unknown) = self.labels.iter().find(|name| !LABELS.contains(&name.as_str())) {
            return Err(format!("`labels`: there is no `{unknown}`; choose from {}", LABELS.join(", ")));
        }
        let mut labels: Vec<_> = self.labels.iter().map(|name| Label::fact(name)).collect();
        if self.service_attributes {
            labels.push(Label::new("service.instance.id", "client_instance_id").when_absent());
            labels.push(Label::new("service.name", "client_id").when_absent());
        }
        Ok(labels)
    }

    pub(crate) fn check_headers(&self) -> Result<(), String> {
        self.headers.iter().try_for_each(|(name, value)| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(format!("`headers`: `{name}` is not a header name; use letters, digits and hyphens"));
            }
            if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("`headers`: `{name}` is set by the receiver itself; leave it out"));
            }
            // The value may be a secret: it is never repeated in an error.
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return Err(format!(
                    "`headers`: the value of `{name}` holds a line break or another control character"
                ));
            }
            Ok(())
        })
    }
}
