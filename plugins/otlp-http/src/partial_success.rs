//! What an endpoint that took a batch discarded of it: OTLP's partial success.

use barnabas_sdk::otlp::service::ExportMetricsServiceResponse;
use barnabas_sdk::{http, log, report};
use prost::Message;

/// How many bytes of the endpoint's message are passed on.
const MAX_MESSAGE_BYTES: usize = 200;

/// Counts and logs what was discarded. A partial success is a success: the points are gone, and sending them again would
/// not help.
pub(crate) fn report(answer: &http::Response) {
    let whole = answer.complete && answer.content_type().eq_ignore_ascii_case("application/x-protobuf");
    let decoded = whole.then(|| ExportMetricsServiceResponse::decode(&*answer.decoded()).ok()).flatten();
    let Some(partial) = decoded.and_then(|answer| answer.partial_success) else {
        return;
    };
    let message = first_line(&partial.error_message);
    match u64::try_from(partial.rejected_data_points) {
        Ok(points @ 1..) => {
            report::rejected_points(points, message);
            log::warn!("the endpoint discarded {points} points: {message}");
        }
        _ if !message.is_empty() => log::warn!("the endpoint took everything and warns: {message}"),
        _ => {}
    }
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or(line)
}
