//! The partial success of OTLP: an endpoint accepted a request but rejected some of its data points.

use barnabas_sdk::otlp::service::ExportMetricsServiceResponse;
use barnabas_sdk::{http, log, report};
use prost::Message;

/// The maximum length of the endpoint's message in bytes.
const MAX_MESSAGE_BYTES: usize = 200;

/// Counts and logs the data points that the endpoint rejected. A partial success is a success: a retry would not help.
pub(crate) fn report(response: &http::Response) {
    let is_protobuf = response.complete && response.content_type().eq_ignore_ascii_case("application/x-protobuf");
    let decoded = is_protobuf.then(|| ExportMetricsServiceResponse::decode(&*response.decoded()).ok()).flatten();
    let Some(partial) = decoded.and_then(|message| message.partial_success) else {
        return;
    };
    let message = first_line(&partial.error_message);
    match u64::try_from(partial.rejected_data_points) {
        Ok(points @ 1..) => {
            report::rejected_points(points, message);
            log::warn!("the endpoint rejected {points} data points: {message}");
        }
        _ if !message.is_empty() => log::warn!("the endpoint accepted the request with a warning: {message}"),
        _ => {}
    }
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or(line)
}
