use super::*;

/// Sent by OpenSSL 3 for TLS 1.2 with one cipher suite.
pub(crate) const CLIENT_HELLO: &str = "1603010096010000920303d01189bbafa1b67d0de1847b34d047d93afc5a78680498fa72e4290a270d74f3\
    000004c02f00ff010000650000000f000d00000a62312e6578616d706c65000b000403000102000a000c000a001d0017001e001900180023000000\
    16000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602";
/// Sent by librdkafka 2.16.
pub(crate) const API_VERSIONS: &str = "000000440012000300000001000b636c2d70726f64756365720017636f6e666c75656e742d6b61666b612d707974686f6e16322e31362e312d7264\
     6b61666b612d322e31362e3000";

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

fn samples() -> Vec<(Vec<u8>, ClientProtocol)> {
    vec![
        (unhex(CLIENT_HELLO), ClientProtocol::Tls),
        (unhex(API_VERSIONS), ClientProtocol::Kafka),
        // PushTelemetry, the highest API key that clients use here.
        (unhex("000000d20048000000000004"), ClientProtocol::Kafka),
        (b"GET /metrics HTTP/1.1\r\n".to_vec(), ClientProtocol::Http),
        (b"POST /v1/metrics HTTP/1.1\r\n".to_vec(), ClientProtocol::Http),
        (b"OPTIONS * HTTP/1.1\r\n".to_vec(), ClientProtocol::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), ClientProtocol::Http2),
        (b"PROXY TCP4 203.0.113.7 198.51.100.9 51234 9092\r\n".to_vec(), ClientProtocol::Proxy),
        (unhex("0d0a0d0a000d0a515549540a2111000ccb007107c6336409c8222384"), ClientProtocol::Proxy),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), ClientProtocol::Ssh),
    ]
}

#[test]
fn a_protocol_is_recognised_as_soon_as_enough_bytes_arrived() {
    for (bytes, protocol) in samples() {
        let known =
            (0..=MAX_PREFIX).find(|len| recognise(&bytes[..*len]) != ProtocolGuess::Incomplete).expect("enough bytes");
        for len in known..bytes.len() {
            assert_eq!(recognise(&bytes[..len]), ProtocolGuess::Known(protocol), "{len} of {bytes:?}");
        }
    }
}

#[test]
fn unknown_bytes_are_decided_within_the_longest_prefix() {
    for bytes in
        [&b"GETTING "[..], b"get / ", b"\x16\x04\x01", b"\x15\x03\x01", b"PRI \0", b"\xff\xff\xff\xff", b"\x01\0"]
    {
        assert_eq!(recognise(bytes), ProtocolGuess::Unknown, "{bytes:?}");
    }
    // A length, and no API key or version that exists.
    for bytes in ["00000044010000030000", "00000044001201030000"] {
        assert_eq!(recognise(&unhex(bytes)), ProtocolGuess::Unknown);
    }
    for (bytes, _) in samples() {
        for cut in 0..MAX_PREFIX {
            let mut other = bytes[..cut].to_vec();
            other.resize(MAX_PREFIX, b'~');
            assert_ne!(recognise(&other), ProtocolGuess::Incomplete, "{other:?}");
        }
    }
}

#[test]
fn the_message_names_the_protocol_the_listener_and_the_remedy() {
    let says = |door, protocol| {
        WrongProtocol { protocol, listener_kind: door, local: "127.0.0.1:9092".parse().unwrap() }.to_string()
    };
    let kafka = |tls, sasl| ListenerKind::Kafka { tls, sasl };
    assert_eq!(
        says(kafka(false, false), ClientProtocol::Tls),
        "TLS arrived at the plaintext Kafka listener 127.0.0.1:9092: set security.protocol=PLAINTEXT at the client, or \
         serve this listener with protocol = \"kafka-tls\""
    );
    assert_eq!(
        says(kafka(true, true), ClientProtocol::Kafka),
        "the Kafka protocol without TLS arrived at the Kafka listener with TLS 127.0.0.1:9092: set \
         security.protocol=SASL_SSL at the client, or serve this listener with protocol = \"kafka-sasl-plaintext\""
    );
    assert!(says(kafka(false, true), ClientProtocol::Tls).contains("=SASL_PLAINTEXT"));
    assert!(says(kafka(true, false), ClientProtocol::Kafka).contains("=SSL "));
    assert!(says(kafka(true, false), ClientProtocol::Http).contains("`admin.bind`"));
    assert!(says(ListenerKind::OtlpHttp, ClientProtocol::Http2).contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"));
    assert!(says(ListenerKind::OtlpHttp, ClientProtocol::Kafka).contains("bootstrap.servers"));
    assert!(says(ListenerKind::Admin, ClientProtocol::Tls).contains("http://"));
}
