//! Formats a body as lines: OTLP in protobuf as one line per data point, JSON indented, text as it is, and everything else
//! as a hex dump.

use std::fmt::Write as _;
use std::io::Read;

use barnabas_otlp::message::{KeyValue, MetricsData, PointValue};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prost::Message as _;
use serde_json::Value;

use crate::format::escape;

/// Maximum decompressed size of a body that is printed.
const MAX_DECOMPRESSED: u64 = 16 << 20;
/// Bytes per line of a hex dump.
const HEX: usize = 16;

/// At most `most` lines, and one more with the number of omitted lines. `whole` is the full length of the body, of which
/// `body` may be a prefix.
pub(super) fn lines(headers: &HeaderMap, body: &[u8], whole: usize, most: usize) -> Vec<String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let unpacked = decompress(header(CONTENT_ENCODING), body);
    let unpacked = unpacked.as_deref().unwrap_or(body);
    let mut lines = render(header(CONTENT_TYPE), unpacked);
    let more = lines.len().saturating_sub(most);
    lines.truncate(most);
    if more > 0 {
        lines.push(format!("… {more} more lines; print them with --show-body={}", most + more));
    }
    if body.len() < whole {
        lines.push(format!("… the body has {whole} bytes; only the first {} were recorded", body.len()));
    }
    lines
}

/// `None` if the body is not compressed, or cannot be decompressed.
fn decompress(encoding: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    match encoding {
        "gzip" => MultiGzDecoder::new(body).take(MAX_DECOMPRESSED).read_to_end(&mut unpacked).ok()?,
        "zstd" => {
            zstd::stream::read::Decoder::new(body).ok()?.take(MAX_DECOMPRESSED).read_to_end(&mut unpacked).ok()?
        }
        _ => return None,
    };
    Some(unpacked)
}

fn render(kind: &str, body: &[u8]) -> Vec<String> {
    if kind.contains("protobuf")
        && let Ok(metrics) = MetricsData::decode(body)
    {
        return points(&metrics);
    }
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_slice(body) {
        return format!("{json:#}").lines().map(str::to_owned).collect();
    }
    match std::str::from_utf8(body) {
        Ok(text) => text.lines().map(escape).collect(),
        Err(_) => body.chunks(HEX).enumerate().map(|(row, bytes)| hex(row * HEX, bytes)).collect(),
    }
}

/// One line per resource, scope and data point.
fn points(metrics: &MetricsData) -> Vec<String> {
    let (mut lines, mut resource, mut scope) = (Vec::new(), None, None);
    for point in metrics.points() {
        if resource != Some(point.resource) {
            (resource, scope) = (Some(point.resource), None);
            lines.push(format!("resource {}", attributes(point.resource)));
        }
        if scope != Some(point.scope) {
            scope = Some(point.scope);
            let said = point.scope.map(|scope| format!("{} {}", escape(&scope.name), escape(&scope.version)));
            lines.push(format!("  scope {}", said.unwrap_or_default()).trim_end().to_owned());
        }
        let metric = point.metric;
        let mut line = format!("    {}", escape(&metric.name));
        let _ = metric.kind().map_or(Ok(()), |kind| write!(line, " {kind}"));
        let _ = metric.temporality().map_or(Ok(()), |temporality| write!(line, " {}", temporality.name()));
        if !metric.unit.is_empty() {
            let _ = write!(line, " [{}]", escape(&metric.unit));
        }
        let _ = write!(line, " {} = {}", attributes(point.attributes), value(&point.value));
        lines.push(line);
    }
    lines
}

fn attributes(attributes: &[KeyValue]) -> String {
    let pairs = attributes.iter().map(|pair| format!("{}={:?}", escape(&pair.key), pair.text()));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

fn value(value: &PointValue<'_>) -> String {
    match value {
        PointValue::Integer(value) => value.to_string(),
        PointValue::Double(value) => value.to_string(),
        PointValue::Histogram(point) => format!(
            "count {} sum {:?} buckets {:?} bounds {:?}",
            point.count, point.sum, point.bucket_counts, point.explicit_bounds
        ),
        PointValue::ExponentialHistogram(point) => {
            format!("count {} sum {:?} scale {} zeros {}", point.count, point.sum, point.scale, point.zero_count)
        }
        PointValue::Summary(point) => {
            let quantiles = point.quantile_values.iter().map(|at| format!("{}: {}", at.quantile, at.value));
            format!("count {} sum {} quantiles {}", point.count, point.sum, quantiles.collect::<Vec<_>>().join(", "))
        }
        _ => "no value".into(),
    }
}

fn hex(at: usize, bytes: &[u8]) -> String {
    let mut line = format!("{at:08x} ");
    bytes.iter().for_each(|byte| _ = write!(line, " {byte:02x}"));
    let text = bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' });
    let text: String = text.collect();
    format!("{line:<width$}  {text}", width = 9 + 3 * HEX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn shown(headers: &[(&'static str, &'static str)], body: &[u8], most: usize) -> Vec<String> {
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        lines(&pairs.collect(), body, body.len(), most)
    }

    const VECTOR: &[u8] = include_bytes!("../../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");

    #[test]
    fn otlp_is_formatted_by_data_point_compressed_or_not() {
        let plain = shown(&[("content-type", "application/x-protobuf")], VECTOR, 1_000);
        assert!(plain.iter().any(|line| line.starts_with("resource {")), "{plain:?}");
        let line = plain.iter().find(|line| line.contains("org.apache.kafka.producer.")).unwrap();
        assert!(line.contains(" = "), "{line}");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(VECTOR).unwrap();
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
        assert_eq!(shown(&headers, &packed.finish().unwrap(), 1_000), plain);
        let few = shown(&[("content-type", "application/x-protobuf")], VECTOR, 2);
        assert_eq!(few.len(), 3);
        assert!(few[2].ends_with(&format!("--show-body={}", plain.len())), "{few:?}");
    }

    #[test]
    fn json_is_indented_and_binary_is_a_hex_dump() {
        assert_eq!(shown(&[], b"{\"a\":1}", 9), ["{", "  \"a\": 1", "}"]);
        assert_eq!(shown(&[], b"cpu value=1\nmem\x1b[2J", 9), ["cpu value=1", "mem\\u{1b}[2J"]);
        let dump = shown(&[], &[0xff, b'a', 0], 9);
        assert_eq!(dump.len(), 1);
        assert!(dump[0].starts_with("00000000  ff 61 00 ") && dump[0].ends_with(" .a."), "{dump:?}");
        let odd = shown(&[("content-type", "application/x-protobuf")], &[0xff; 17], 9);
        assert_eq!(odd.len(), 2, "invalid OTLP is a hex dump");
        assert!(lines(&HeaderMap::new(), b"abc", 7, 9)[1].contains("has 7 bytes; only the first 3"));
    }
}
