//! From the endpoint's answer to the outcome for the host. Nothing is sent or kept here.
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | taken; points that the endpoint discarded are counted |
//! | 408, 429, 5xx, no answer | unavailable, with the wait that `Retry-After` asks for |
//! | 401, 403, 404, destination not granted | unavailable, and the operator is told what to mend |
//! | 413 | too large: the host halves the batch |
//! | 3xx | unavailable, and the operator is told: a redirect would carry credentials to another place |
//! | other 4xx | rejected as a whole: the host finds the push at fault by halving |

use std::time::{Duration, SystemTime};

use barnabas_sdk::otlp::service::{ExportMetricsServiceResponse, Status};
use barnabas_sdk::{ExportError, clock, http, log, report};
use prost::Message;

/// How much of an answer's words is passed on.
const MAX_WORDS: usize = 200;

pub(crate) fn outcome(response: &http::Response, endpoint: &http::Url) -> Result<(), ExportError> {
    let status = response.status;
    let said = format!("{} answered {status}{}", endpoint.host_and_port(), words(response));
    match status {
        200..=299 => {
            count_discarded(response);
            Ok(())
        }
        413 => Err(ExportError::too_large()),
        401 | 403 => Err(misconfigured(said, "check the credentials in `headers`")),
        404 => Err(misconfigured(said, "check the path of `endpoint`")),
        300..=399 => Err(misconfigured(said, "redirects are not followed; write the final URL as `endpoint`")),
        408 | 429 | 500..=599 => Err(waiting(said, retry_after(response))),
        _ => Err(ExportError::rejected(said)),
    }
}

pub(crate) fn no_answer(error: &http::Error, endpoint: &http::Url) -> ExportError {
    let destination = endpoint.host_and_port();
    let said = format!("{destination}: {error}");
    match error {
        http::Error::Denied(_) => {
            misconfigured(said, &format!("grant the plugin `{destination}` (and its address, where that is private)"))
        }
        http::Error::InvalidRequest(_) => misconfigured(said, "check `endpoint` and `headers`"),
        http::Error::Tls(_) => misconfigured(said, "check the endpoint's certificate"),
        _ => ExportError::unavailable(said),
    }
}

fn misconfigured(said: String, remedy: &str) -> ExportError {
    report::misconfigured(&format!("{said}; {remedy}"));
    ExportError::unavailable(said)
}

fn waiting(reason: String, wait: Option<Duration>) -> ExportError {
    let unavailable = ExportError::unavailable(reason);
    match wait {
        Some(wait) => unavailable.retry_after(wait),
        None => unavailable,
    }
}

/// `Retry-After` as seconds or as a date.
fn retry_after(response: &http::Response) -> Option<Duration> {
    wait_of(response.header_value("retry-after")?.trim(), clock::now)
}

pub(crate) fn wait_of(value: &str, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now()).ok(),
    }
}

/// A partial success is a success: the points are gone, and sending them again would not help.
fn count_discarded(response: &http::Response) {
    let Some(partial) = decode::<ExportMetricsServiceResponse>(response).and_then(|answer| answer.partial_success)
    else {
        return;
    };
    let message = cut(&partial.error_message);
    match u64::try_from(partial.rejected_data_points) {
        Ok(points @ 1..) => {
            report::rejected_points(points, message);
            log::warn!("the endpoint discarded {points} points: {message}");
        }
        _ if !message.is_empty() => log::warn!("the endpoint took everything and warns: {message}"),
        _ => {}
    }
}

/// What an error answer says, for a person: an OTLP status, or plain text.
fn words(response: &http::Response) -> String {
    let status = decode::<Status>(response).map(|status| status.message);
    let plain = || is_type(response, "text/plain").then(|| response.text());
    match status.or_else(plain) {
        Some(text) if !text.trim().is_empty() => format!(": {}", cut(text.trim())),
        _ => String::new(),
    }
}

fn decode<M: Message + Default>(response: &http::Response) -> Option<M> {
    let whole = response.complete && is_type(response, "application/x-protobuf");
    whole.then(|| M::decode(response.body.as_slice()).ok()).flatten()
}

fn is_type(response: &http::Response, wanted: &str) -> bool {
    let found = response.header_value("content-type").unwrap_or_default();
    found.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(MAX_WORDS)).unwrap_or(line)
}
