//! Extracts the error message of a sink from its response, as a short sentence for the operator. It reads a bounded
//! part of the body, and supports plain text, JSON and OTLP's `google.rpc.Status`, each with or without gzip.

use std::borrow::Cow;
use std::io::Read;

use prost::Message;
use serde_json::Value;

use super::{DEFAULT_MAX_RESPONSE, Response, text};
use crate::otlp::service::Status;

/// The maximum length of the message in characters.
const MAX_CHARACTERS: usize = 300;
/// The maximum number of bytes of a body that are searched for the message.
const MAX_SCANNED_BYTES: u64 = 64 * 1024;

/// The JSON fields in which APIs return the message, the most specific first: `google.rpc.Status` and Influx
/// (`message`), RFC 9457 (`detail`, `title`), OAuth (`error_description`), Prometheus (`error`), Datadog (`errors`),
/// Elasticsearch (`reason`).
const KEYS: [&str; 9] =
    ["message", "detail", "error_description", "error", "errors", "reason", "title", "msg", "description"];

/// Implements [`Response::reason`].
pub(super) fn reason(response: &Response) -> Option<String> {
    let body = decoded(response, MAX_SCANNED_BYTES);
    let kind = media_type(response).to_ascii_lowercase();
    let message = match kind.as_str() {
        "application/x-protobuf" | "application/protobuf" => Status::decode(&*body).ok()?.message,
        _ if is_text(&kind) => message_text(&String::from_utf8_lossy(&body)),
        _ => return None,
    };
    Some(text::one_line(&message, MAX_CHARACTERS)).filter(|line| !line.is_empty())
}

/// A response without a content type is usually text.
fn is_text(kind: &str) -> bool {
    let json = kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"));
    kind.is_empty() || kind.starts_with("text/") || json
}

/// The message in a JSON body, or else the whole body.
fn message_text(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    json.as_ref().and_then(find_message).map_or_else(|| body.to_owned(), str::to_owned)
}

/// The recursion is bounded, because serde_json limits the nesting.
fn find_message(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
        Value::Array(items) => items.iter().find_map(find_message),
        Value::Object(fields) => KEYS.iter().filter_map(|&key| fields.get(key)).find_map(find_message),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Implements [`Response::decoded`] with a limit of `max_bytes`.
fn decoded(response: &Response, max_bytes: u64) -> Cow<'_, [u8]> {
    let coding = response.header("content-encoding").unwrap_or_default().trim();
    if !(coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")) {
        let end = response.body.len().min(usize::try_from(max_bytes).unwrap_or(usize::MAX));
        return Cow::Borrowed(response.body.get(..end).unwrap_or_default());
    }
    let mut plain = Vec::new();
    // A truncated or corrupt body is used as far as it can be decompressed.
    let read = flate2::read::MultiGzDecoder::new(response.body.as_slice()).take(max_bytes).read_to_end(&mut plain);
    read.map_or_else(|_| (), |_| ());
    Cow::Owned(plain)
}

/// The whole body, decompressed.
pub(super) fn decoded_body(response: &Response) -> Cow<'_, [u8]> {
    let most = response.body.len().max(DEFAULT_MAX_RESPONSE);
    decoded(response, most as u64)
}

/// `content-type` without its parameters.
pub(super) fn media_type(response: &Response) -> &str {
    response.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use prost::Message;

    use super::super::Response;
    use crate::otlp::service::Status;
    use crate::testing::http::response;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The reason of the same body with and without gzip, which must be equal.
    fn reason_of(kind: &str, body: &[u8]) -> Option<String> {
        let plain = response(400, &[("Content-Type", kind)], body);
        let packed = response(400, &[("content-type", kind), ("Content-Encoding", "gzip")], gzip(body));
        assert_eq!(plain.reason(), packed.reason(), "{kind} {body:?}");
        plain.reason()
    }

    #[test]
    fn the_message_is_found_in_json() {
        for (body, wanted) in [
            (r#"{"error":"too many points for tenant"}"#, "too many points for tenant"),
            (r#"{"message":"too many points for tenant"}"#, "too many points for tenant"),
            (r#"{"code":3,"message":"metric name too long"}"#, "metric name too long"),
            (r#"{"status":"error","errorType":"bad_data","error":"out of bounds"}"#, "out of bounds"),
            (r#"{"error":{"type":"mapper","reason":"no such field"},"status":400}"#, "no such field"),
            (r#"{"errors":["first", "second"]}"#, "first"),
            (r#"{"error":"Not Found","message":"no tenant `a`","path":"/v1"}"#, "no tenant `a`"),
            (r#"{"title":"Bad","detail":"the unit is unknown"}"#, "the unit is unknown"),
            (r#"{"error":"invalid_token","error_description":"it has expired"}"#, "it has expired"),
            (r#"{"message":" ","error":"said here"}"#, "said here"),
            (r#""plainly""#, "plainly"),
            (r#"{"code":3}"#, r#"{"code":3}"#),
            (r#"{"message":"cut o"#, r#"{"message":"cut o"#),
        ] {
            for kind in ["application/json", "application/problem+json; charset=utf-8", "text/plain", ""] {
                assert_eq!(reason_of(kind, body.as_bytes()).as_deref(), Some(wanted), "{kind} {body}");
            }
        }
    }

    #[test]
    fn the_message_is_found_in_a_status() {
        let status = Status { code: 3, message: "metric name too long".to_owned() };
        assert_eq!(
            reason_of("application/x-protobuf", &status.encode_to_vec()).as_deref(),
            Some("metric name too long")
        );
        assert_eq!(reason_of("application/x-protobuf", &Status::default().encode_to_vec()), None);
        assert_eq!(reason_of("application/x-protobuf", &[0xff; 40]), None);
    }

    #[test]
    fn text_is_one_safe_line() {
        assert_eq!(
            reason_of("text/plain", b"partial write:\n\x1b[2Jno field \xff").as_deref(),
            Some("partial write: [2Jno field \u{fffd}")
        );
        assert_eq!(reason_of("text/plain; charset=utf-8", b" \r\n"), None);
        assert_eq!(reason_of("", b""), None);
        assert_eq!(reason_of("image/png", b"\x89PNG"), None);
    }

    #[test]
    fn three_hundred_characters_obeyed() {
        assert_eq!(reason_of("text/plain", "ü".repeat(300).as_bytes()), Some("ü".repeat(300)));
    }

    #[test]
    fn three_hundred_characters_violated() {
        assert_eq!(reason_of("text/plain", "ü".repeat(301).as_bytes()), Some("ü".repeat(300) + "…"));
        let json = format!(r#"{{"error":"{}"}}"#, "ü".repeat(301));
        assert_eq!(reason_of("application/json", json.as_bytes()), Some("ü".repeat(300) + "…"));
    }

    #[test]
    fn a_decompression_bomb_is_unpacked_up_to_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let answer = response(400, &[("content-encoding", "gzip")], bomb);
        assert_eq!(answer.reason(), None, "the message would come after the limit");
        assert_eq!(answer.decoded().len(), crate::http::DEFAULT_MAX_RESPONSE);
    }

    #[test]
    fn truncated_gzip_is_read_as_far_as_possible() {
        let mut body = gzip("no such tenant ".repeat(10).as_bytes());
        body.truncate(body.len() - 9);
        let answer = response(400, &[("content-encoding", "gzip")], body);
        assert!(answer.reason().is_some_and(|said| said.starts_with("no such tenant")), "{answer:?}");
        assert_eq!(response(400, &[("content-encoding", "gzip")], "not gzip").reason(), None);
        assert_eq!(Response::default().reason(), None);
    }
}
