//! Which protocol a connection speaks, by its first bytes, and what is said where its door speaks another.
//!
//! In: the first bytes of a connection, as far as they have come. Out: a [`Guess`]; a [`WrongProtocol`] names the
//! protocol, the door and the remedy on either side. Never more than [`LONGEST`] bytes are needed. The recogniser only
//! explains a connection that its door is about to close: it never decides how a connection is served.

mod sniffed;
#[cfg(test)]
pub(in crate::listener) mod tests;

use std::fmt;
use std::net::SocketAddr;

pub(crate) use sniffed::Sniffed;

/// A protocol that clients speak to a port by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A TLS record that holds a handshake message (RFC 8446, section 5.1).
    Tls,
    /// HTTP/1: a method and a space (RFC 9112, section 3).
    Http,
    /// HTTP/2 without TLS, as gRPC speaks it: the connection preface (RFC 9113, section 3.4).
    Http2,
    /// A header of HAProxy's PROXY protocol, version 1 or 2.
    Proxy,
    /// The identification string (RFC 4253, section 4.2).
    Ssh,
    /// A Kafka request: a length, and an API key and version that exist.
    Kafka,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    Known(Protocol),
    /// More bytes are needed.
    Open,
    Unknown,
}

/// The most bytes that are needed: the signature of the PROXY protocol, version 2.
pub(crate) const LONGEST: usize = 12;

const SIGNATURES: [(&[u8], Protocol); 14] = [
    (b"\x16\x03", Protocol::Tls),
    (b"GET ", Protocol::Http),
    (b"PUT ", Protocol::Http),
    (b"POST ", Protocol::Http),
    (b"HEAD ", Protocol::Http),
    (b"PATCH ", Protocol::Http),
    (b"TRACE ", Protocol::Http),
    (b"DELETE ", Protocol::Http),
    (b"OPTIONS ", Protocol::Http),
    (b"CONNECT ", Protocol::Http),
    (b"PRI * HTTP/2", Protocol::Http2),
    (b"PROXY ", Protocol::Proxy),
    (b"\r\n\r\n\0\r\nQUIT\n", Protocol::Proxy),
    (b"SSH-", Protocol::Ssh),
];

/// Recognises a protocol by the first bytes of a connection.
pub(crate) fn recognise(first: &[u8]) -> Guess {
    let mut guess = request(first);
    for (signature, protocol) in SIGNATURES {
        if first.starts_with(signature) {
            return Guess::Known(protocol);
        }
        if signature.starts_with(first) {
            guess = Guess::Open;
        }
    }
    guess
}

/// A Kafka request of less than 16 MiB. Apache Kafka has API keys up to 92 and versions up to 18, and leaves gaps.
fn request(first: &[u8]) -> Guess {
    const PLAUSIBLE: [std::ops::RangeInclusive<u8>; 8] =
        [0..=0, 0..=255, 0..=255, 0..=255, 0..=0, 0..=127, 0..=0, 0..=31];
    if !first.iter().zip(&PLAUSIBLE).all(|(byte, plausible)| plausible.contains(byte)) {
        Guess::Unknown
    } else if first.len() < PLAUSIBLE.len() {
        Guess::Open
    } else {
        Guess::Known(Protocol::Kafka)
    }
}

/// A door, as far as it matters to who came to the wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A Kafka listener, with or without TLS and SASL.
    Kafka {
        tls: bool,
        sasl: bool,
    },
    OtlpHttp,
    Admin,
}

/// A protocol that arrived at a door that does not speak it. Its text is for the operator, and for clients that read
/// HTTP: what arrived where, and what to change on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongProtocol {
    pub(crate) protocol: Protocol,
    pub(crate) door: Door,
    /// The address of the listener.
    pub(crate) at: SocketAddr,
}

impl WrongProtocol {
    /// What can be answered in the client's own protocol: a complete response to HTTP/1.
    ///
    /// TLS and Kafka clients get no answer on purpose. The Java client takes a TLS alert for a fatal error, where it
    /// tries again after a connection that was closed, and librdkafka itself guesses the mistake from a closed one.
    pub(crate) fn answer(&self) -> Option<String> {
        (self.protocol == Protocol::Http).then(|| {
            let body = format!("{self}\n");
            let length = body.len();
            format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
        })
    }

    fn remedy(&self) -> &'static str {
        match (self.door, self.protocol) {
            (Door::Kafka { sasl: false, .. }, Protocol::Tls) => {
                "set security.protocol=PLAINTEXT at the client, or serve this listener with protocol = \"kafka-tls\""
            }
            (Door::Kafka { sasl: true, .. }, Protocol::Tls) => {
                "set security.protocol=SASL_PLAINTEXT at the client, or serve this listener with protocol = \
                 \"kafka-sasl-tls\""
            }
            (Door::Kafka { sasl: false, .. }, Protocol::Kafka) => {
                "set security.protocol=SSL at the client, or serve this listener with protocol = \"kafka-plaintext\""
            }
            (Door::Kafka { sasl: true, .. }, Protocol::Kafka) => {
                "set security.protocol=SASL_SSL at the client, or serve this listener with protocol = \
                 \"kafka-sasl-plaintext\""
            }
            (Door::Kafka { .. }, Protocol::Http | Protocol::Http2) => {
                "only Kafka clients can use this port; send OTLP to a listener with protocol = \"otlp-http\", and \
                 requests for metrics or health to the address in `admin.bind`"
            }
            (Door::Kafka { .. }, Protocol::Proxy) => {
                "list the load balancer in this listener's `proxy-protocol.from`, or turn the PROXY protocol off at the \
                 load balancer"
            }
            (Door::OtlpHttp | Door::Admin, Protocol::Proxy) => {
                "turn the PROXY protocol off at the load balancer for this port; only Kafka listeners accept it"
            }
            (Door::OtlpHttp | Door::Admin, Protocol::Tls) => {
                "use an http:// address at the client, or put a proxy that terminates TLS in front of this port"
            }
            (Door::OtlpHttp, Protocol::Http2) => {
                "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf at the exporter, since OTLP over gRPC is not served"
            }
            (Door::Admin, Protocol::Http2) => "use HTTP/1.1 at the client",
            (Door::OtlpHttp | Door::Admin, Protocol::Kafka) => {
                "set bootstrap.servers at the client to the address of a Kafka listener"
            }
            (_, Protocol::Ssh) | (Door::OtlpHttp | Door::Admin, Protocol::Http) => "use another port at the client",
        }
    }
}

impl fmt::Display for WrongProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrived = match (self.protocol, self.door) {
            (Protocol::Tls, _) => "TLS",
            (Protocol::Http, _) => "HTTP",
            (Protocol::Http2, _) => "HTTP/2",
            (Protocol::Proxy, _) => "a PROXY protocol header",
            (Protocol::Ssh, _) => "SSH",
            (Protocol::Kafka, Door::Kafka { .. }) => "the Kafka protocol without TLS",
            (Protocol::Kafka, _) => "the Kafka protocol",
        };
        let door = match self.door {
            Door::Kafka { tls: false, .. } => "plaintext Kafka listener",
            Door::Kafka { tls: true, .. } => "Kafka listener with TLS",
            Door::OtlpHttp => "OTLP/HTTP listener",
            Door::Admin => "admin endpoint",
        };
        write!(f, "{arrived} arrived at the {door} {}: {}", self.at, self.remedy())
    }
}

impl std::error::Error for WrongProtocol {}
