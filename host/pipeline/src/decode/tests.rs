use super::decompress::tests::ENCODERS;
use super::*;

macro_rules! recorded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../../tests/vectors/", $name, ".bin")).as_slice()),)*]
    };
}

pub(super) const RECORDED: &[(&str, &[u8])] = recorded![
    "java-3.7-producer-cumulative.none-0",
    "java-4.0-producer-cumulative.gzip-0",
    "java-4.0-producer-cumulative.lz4-0",
    "java-4.0-producer-cumulative.snappy-0",
    "java-4.0-producer-cumulative.zstd-0",
    "java-4.0-producer-cumulative.zstd-1",
    "java-4.0-producer-delta.zstd-0",
    "java-4.0-producer-delta.zstd-1",
    "java-trunk-consumer-cumulative.zstd-0",
    "java-trunk-consumer-cumulative.zstd-1",
    "java-trunk-consumer-delta.zstd-0",
    "java-trunk-consumer-delta.zstd-1",
    "librdkafka-2.16-consumer-cumulative.zstd-0",
    "librdkafka-2.16-consumer-cumulative.zstd-1",
    "librdkafka-2.16-consumer-delta.zstd-0",
    "librdkafka-2.16-consumer-delta.zstd-1",
    "librdkafka-2.16-producer-cumulative.gzip-0",
    "librdkafka-2.16-producer-cumulative.lz4-0",
    "librdkafka-2.16-producer-cumulative.snappy-0",
    "librdkafka-2.16-producer-cumulative.zstd-0",
    "librdkafka-2.16-producer-cumulative.zstd-1",
    "librdkafka-2.16-producer-delta.zstd-0",
    "librdkafka-2.16-producer-delta.zstd-1",
];

/// Client, decompressed bytes, points.
const EXPECTED: [(&str, usize, u32); 5] = [
    ("java-3.7-producer", 7670, 89),
    ("java-4.0-producer", 7402, 86),
    ("java-trunk-consumer", 12642, 115),
    ("librdkafka-2.16-consumer", 2330, 15),
    ("librdkafka-2.16-producer", 1440, 10),
];

pub(super) fn push(codec: Codec, wire: &[u8]) -> Push {
    Push {
        client: Arc::default(),
        ingress: Ingress::Sample,
        received_at: SystemTime::UNIX_EPOCH,
        terminating: false,
        subscription_id: None,
        codec: codec.id(),
        format: Format::Protobuf,
        wire: Bytes::copy_from_slice(wire),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    }
}

fn decode_with(config: DecodeConfig, codec: Codec, wire: &[u8]) -> Result<Decoded, Refusal> {
    Decoder::new(config).decode(Admitted::declared(push(codec, wire))?)
}

pub(super) fn payload(codec: Codec, wire: &[u8]) -> Payload {
    match decode_with(DecodeConfig::default(), codec, wire) {
        Ok(Decoded::Payload(payload)) => payload,
        other => panic!("no payload: {other:?}"),
    }
}

pub(super) fn codec_of(name: &str) -> Codec {
    let codec = name.rsplit(['.', '-']).nth(1).unwrap();
    [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
        .into_iter()
        .find(|known| known.to_string() == codec)
        .unwrap_or_else(|| panic!("{name} names no codec"))
}

#[test]
fn every_recorded_push_has_its_known_content() {
    assert_eq!(RECORDED.len(), 23);
    for (name, wire) in RECORDED {
        let (_, len, points) = EXPECTED.iter().find(|(client, ..)| name.starts_with(client)).unwrap();
        let payload = payload(codec_of(name), wire);
        assert_eq!((payload.bytes().len(), payload.points()), (*len, *points), "{name}");
        let temporality = if name.contains("-delta.") { PushTemporality::Delta } else { PushTemporality::Cumulative };
        assert_eq!(payload.temporality(), temporality, "{name}");
        assert_eq!((payload.wire_len(), payload.repaired_strings()), (wire.len(), 0));
    }
}

#[test]
fn a_prefix_of_a_recorded_push_is_an_invalid_record_that_names_the_codec() {
    for (name, wire) in RECORDED.iter().filter(|(name, _)| !name.contains("none")) {
        let codec = codec_of(name);
        let Err(Refusal::InvalidRecord(why)) = decode_with(DecodeConfig::default(), codec, &wire[..wire.len() - 1])
        else {
            panic!("{name} was accepted without its last byte");
        };
        assert!(why.starts_with(&codec.to_string()), "{why}");
    }
}

#[test]
fn plain_bytes_are_not_copied() {
    let push = push(Codec::None, RECORDED[0].1);
    let wire = push.wire.clone();
    let decoded = Decoder::default().decode(Admitted::declared(push).unwrap());
    let Ok(Decoded::Payload(payload)) = decoded else { panic!("{decoded:?}") };
    assert_eq!(payload.bytes().as_ptr(), wire.as_ptr());
}

#[test]
fn empty_input_is_empty_in_every_codec() {
    assert!(matches!(decode_with(DecodeConfig::default(), Codec::Zstd, b""), Ok(Decoded::Empty)));
    let nothing: [(Codec, &[u8]); 3] = [
        (Codec::Snappy, b"\x00"),
        (Codec::Gzip, b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0"),
        (Codec::Zstd, b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"),
    ];
    for (codec, wire) in nothing {
        let decoded = decode_with(DecodeConfig::default(), codec, wire);
        assert!(matches!(decoded, Ok(Decoded::Empty)), "{codec}: {decoded:?}");
    }
}

/// `MetricsData { resource_metrics { schema_url: "a\xff" } }`.
const BAD_UTF8: &[u8] = b"\x0a\x04\x1a\x02a\xff";

#[test]
fn bad_utf8_is_repaired_and_counted_whether_compressed_or_not() {
    let compressed = snap::raw::Encoder::new().compress_vec(BAD_UTF8).unwrap();
    for (codec, wire) in [(Codec::None, BAD_UTF8), (Codec::Snappy, &compressed)] {
        let payload = payload(codec, wire);
        assert_eq!((payload.bytes().as_ref(), payload.repaired_strings()), (b"\x0a\x04\x1a\x02a?".as_slice(), 1));
    }
}

#[test]
fn bytes_that_are_not_otlp_are_an_invalid_record() {
    let json = decode_with(DecodeConfig::default(), Codec::None, b"{}");
    assert_eq!(json.unwrap_err().code(), "invalid_record");
    let gzip_declared_as_plain = decode_with(DecodeConfig::default(), Codec::None, RECORDED[1].1);
    assert_eq!(gzip_declared_as_plain.unwrap_err().code(), "invalid_record");
}

#[test]
fn max_output_limit_obeyed() {
    for (name, wire) in RECORDED.iter().filter(|(name, _)| name.starts_with("java-4.0")) {
        let config = DecodeConfig { max_output: 7402, ..DecodeConfig::default() };
        assert!(matches!(decode_with(config, codec_of(name), wire), Ok(Decoded::Payload(_))), "{name}");
    }
}

#[test]
fn max_output_limit_violated() {
    for (name, wire) in RECORDED.iter().filter(|(name, _)| !name.starts_with("librdkafka")) {
        let config = DecodeConfig { max_output: 7401, ..DecodeConfig::default() };
        let Err(Refusal::TooLarge(why)) = decode_with(config, codec_of(name), wire) else { panic!("{name}") };
        assert!(why.starts_with(&codec_of(name).to_string()) && why.contains("7401"), "{why}");
    }
}

/// One unknown field of this length, all zeros: valid OTLP that compresses well.
fn zeros(len: usize) -> Vec<u8> {
    let mut out = b"\x7a".to_vec();
    prost_len(&mut out, len);
    out.resize(out.len() + len, 0);
    zstd::encode_all(out.as_slice(), 3).unwrap()
}

fn prost_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

#[test]
fn ratio_limit_obeyed() {
    let below = zeros(DecodeConfig::RATIO_FREE - 100);
    assert!(
        (DecodeConfig::RATIO_FREE / below.len()) as u32 > DecodeConfig::default().max_ratio,
        "it would be a decompression bomb if it were longer"
    );
    assert!(matches!(decode_with(DecodeConfig::default(), Codec::Zstd, &below), Ok(Decoded::Payload(_))));
}

#[test]
fn ratio_limit_violated() {
    let Err(Refusal::TooLarge(why)) =
        decode_with(DecodeConfig::default(), Codec::Zstd, &zeros(DecodeConfig::RATIO_FREE))
    else {
        panic!("accepted");
    };
    assert!(why.contains("ratio of 200"), "{why}");
}

fn json(config: DecodeConfig, codec: Codec, wire: &[u8]) -> Result<Decoded, Refusal> {
    let push = Push { format: Format::Json, ..push(codec, wire) };
    Decoder::new(config).decode(Admitted::declared(push)?)
}

/// One gauge with three points.
const JSON: &[u8] =
    br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{},{},{}]}}]}]}]}"#;

#[test]
fn json_is_checked_as_protobuf_and_its_wire_length_is_that_of_the_json() {
    for (codec, wire) in [(Codec::None, JSON.to_vec()), (Codec::Zstd, zstd::encode_all(JSON, 3).unwrap())] {
        let Ok(Decoded::Payload(payload)) = json(DecodeConfig::default(), codec, &wire) else { panic!("{codec}") };
        assert_eq!((payload.points(), payload.wire_len()), (3, wire.len()));
        let data = barnabas_otlp::walk::check(payload.bytes()).unwrap();
        assert_eq!((data.points, data.resources), (3, 1));
    }
    assert!(matches!(json(DecodeConfig::default(), Codec::None, b"{}"), Ok(Decoded::Empty)));
    let empty = json(DecodeConfig::default(), Codec::None, b"");
    assert!(matches!(empty, Err(Refusal::InvalidRecord(reason)) if reason.contains("line 1")));
}

#[test]
fn json_output_cap_obeyed() {
    let config = DecodeConfig { max_output: JSON.len(), ..DecodeConfig::default() };
    assert!(matches!(json(config, Codec::None, JSON), Ok(Decoded::Payload(_))));
}

#[test]
fn json_output_cap_violated() {
    // Both for the text and for its conversion: a double of two bytes becomes one of eight.
    let config = DecodeConfig { max_output: JSON.len() - 1, ..DecodeConfig::default() };
    assert!(matches!(json(config, Codec::None, JSON), Err(Refusal::TooLarge(_))));
    assert!(matches!(json(config, Codec::Zstd, &zstd::encode_all(JSON, 3).unwrap()), Err(Refusal::TooLarge(_))));
    let bounds = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\"dataPoints\":[{{\"explicitBounds\":[{}0]}}]}}}}]}}]}}]}}",
        "0,".repeat(1000)
    );
    let config = DecodeConfig { max_output: bounds.len(), ..DecodeConfig::default() };
    assert!(matches!(json(config, Codec::None, bounds.as_bytes()), Err(Refusal::TooLarge(_))));
}

/// One recorded message, `times` times in a row.
fn repeated(times: usize) -> Vec<u8> {
    let (_, one) = RECORDED.iter().find(|(name, _)| name.contains("none")).unwrap();
    one.repeat(times)
}

fn decode_light(codec: Codec, wire: &[u8]) -> Result<Result<Decoded, Refusal>, Admitted> {
    Decoder::default().decode_light(Admitted::declared(push(codec, wire)).unwrap())
}

#[test]
fn ordinary_pushes_are_light_obeyed() {
    for (name, wire) in RECORDED {
        let codec = codec_of(name);
        assert!(matches!(decode_light(codec, wire), Ok(Ok(Decoded::Payload(_)))), "{name}");
    }
    // As large as Java's pushes become: 60 KiB and more. None of these streams declares its size.
    for (codec, encode) in ENCODERS {
        let wire = encode(&repeated(8));
        assert!(matches!(decode_light(codec, &wire), Ok(Ok(Decoded::Payload(_)))), "{codec}");
    }
}

#[test]
fn light_pushes_have_a_bound_violated() {
    let plain = repeated(LIGHT_BYTES / 7670 + 1);
    for (codec, encode) in ENCODERS {
        let wire = encode(&plain);
        let Err(returned) = decode_light(codec, &wire) else { panic!("{codec}: decoded") };
        let Ok(Decoded::Payload(payload)) = Decoder::default().decode(returned) else { panic!("{codec}") };
        assert_eq!(payload.bytes(), &plain, "{codec}: it was returned unchanged");
    }
    assert!(decode_light(Codec::None, &plain).is_err());
    assert!(matches!(
        decode_light(Codec::None, &plain[..plain.len() / 7670 * 7670 - 7670]),
        Ok(Ok(Decoded::Payload(_)))
    ));
    // The output is small, but many bytes have to be read for it.
    let empty_frames = ::zstd::encode_all(&b""[..], 3).unwrap().repeat(LIGHT_BYTES / 9 + 1);
    assert!(decode_light(Codec::Zstd, &empty_frames).is_err());
}

#[test]
fn json_has_a_smaller_light_bound() {
    let text = |len: usize| format!("{{\"resourceMetrics\":[]{}}}", " ".repeat(len - 22)).into_bytes();
    let json = |codec, wire: Vec<u8>| {
        let push = Push { format: Format::Json, ..push(codec, &wire) };
        Decoder::default().decode_light(Admitted::declared(push).unwrap())
    };
    assert!(matches!(json(Codec::None, text(LIGHT_JSON_BYTES)), Ok(Ok(Decoded::Empty))));
    assert!(json(Codec::None, text(LIGHT_JSON_BYTES + 1)).is_err());
    let zstd = |len| ::zstd::encode_all(&text(len)[..], 3).unwrap();
    assert!(matches!(json(Codec::Zstd, zstd(LIGHT_JSON_BYTES)), Ok(Ok(Decoded::Empty))));
    assert!(json(Codec::Zstd, zstd(LIGHT_JSON_BYTES + 1)).is_err());
}
