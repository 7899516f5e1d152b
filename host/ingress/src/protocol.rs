//! Which protocol a connection speaks, by its first bytes, and the error message if its listener speaks another one.
//!
//! In: the first bytes of a connection, as far as they have arrived. Out: a `ProtocolGuess`; a [`WrongProtocol`]
//! names the protocol, the listener and the remedy on either side. At most `MAX_PREFIX` bytes are needed. The guess
//! only explains why a connection is about to be closed: it never decides how a connection is served.

mod sniffed;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::SocketAddr;

pub use sniffed::SniffedStream;

/// A protocol that clients speak to a port by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientProtocol {
    /// A TLS record that contains a handshake message (RFC 8446, section 5.1).
    Tls,
    /// HTTP/1: a method and a space (RFC 9112, section 3).
    Http,
    /// HTTP/2 without TLS, as gRPC speaks it: the connection preface (RFC 9113, section 3.4).
    Http2,
    /// A header of HAProxy's PROXY protocol, version 1 or 2.
    Proxy,
    /// The SSH identification string (RFC 4253, section 4.2).
    Ssh,
    /// A Kafka request: a length, and an API key and version that exist.
    Kafka,
}

/// What the first bytes tell about the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolGuess {
    Known(ClientProtocol),
    /// More bytes are needed.
    Incomplete,
    Unknown,
}

/// The most bytes that are needed: the signature of the PROXY protocol, version 2.
pub(crate) const MAX_PREFIX: usize = 12;

const SIGNATURES: [(&[u8], ClientProtocol); 14] = [
    (b"\x16\x03", ClientProtocol::Tls),
    (b"GET ", ClientProtocol::Http),
    (b"PUT ", ClientProtocol::Http),
    (b"POST ", ClientProtocol::Http),
    (b"HEAD ", ClientProtocol::Http),
    (b"PATCH ", ClientProtocol::Http),
    (b"TRACE ", ClientProtocol::Http),
    (b"DELETE ", ClientProtocol::Http),
    (b"OPTIONS ", ClientProtocol::Http),
    (b"CONNECT ", ClientProtocol::Http),
    (b"PRI * HTTP/2", ClientProtocol::Http2),
    (b"PROXY ", ClientProtocol::Proxy),
    (b"\r\n\r\n\0\r\nQUIT\n", ClientProtocol::Proxy),
    (b"SSH-", ClientProtocol::Ssh),
];

/// Recognises a protocol by the first bytes of a connection.
pub(crate) fn recognise(first: &[u8]) -> ProtocolGuess {
    let mut guess = guess_kafka(first);
    for (signature, protocol) in SIGNATURES {
        if first.starts_with(signature) {
            return ProtocolGuess::Known(protocol);
        }
        if signature.starts_with(first) {
            guess = ProtocolGuess::Incomplete;
        }
    }
    guess
}

/// A Kafka request of less than 16 MiB. Apache Kafka has API keys up to 92 and versions up to 18, with gaps.
fn guess_kafka(first: &[u8]) -> ProtocolGuess {
    const PLAUSIBLE: [std::ops::RangeInclusive<u8>; 8] =
        [0..=0, 0..=255, 0..=255, 0..=255, 0..=0, 0..=127, 0..=0, 0..=31];
    if !first.iter().zip(&PLAUSIBLE).all(|(byte, plausible)| plausible.contains(byte)) {
        ProtocolGuess::Unknown
    } else if first.len() < PLAUSIBLE.len() {
        ProtocolGuess::Incomplete
    } else {
        ProtocolGuess::Known(ClientProtocol::Kafka)
    }
}

/// The kind of a listener, as far as it matters to a peer that speaks another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// A Kafka listener, with or without TLS and SASL.
    Kafka {
        /// Whether the listener expects TLS.
        tls: bool,
        /// Whether the listener requires SASL.
        sasl: bool,
    },
    /// An OTLP/HTTP listener.
    OtlpHttp,
    /// The admin endpoint.
    Admin,
}

/// A protocol that arrived at a listener of another protocol. The message is for the operator and for clients that read
/// HTTP: it says what arrived where, and what to change on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongProtocol {
    pub(crate) protocol: ClientProtocol,
    pub(crate) listener_kind: ListenerKind,
    /// The address of the listener.
    pub(crate) local: SocketAddr,
}

impl WrongProtocol {
    /// The answer in the client's own protocol, if there is one: a complete HTTP/1 response.
    ///
    /// TLS and Kafka clients get no answer on purpose. The Java client treats a TLS alert as fatal but retries after a
    /// closed connection, and librdkafka itself diagnoses the mistake from a closed connection.
    pub(crate) fn answer(&self) -> Option<String> {
        (self.protocol == ClientProtocol::Http).then(|| {
            let body = format!("{self}\n");
            let length = body.len();
            format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
        })
    }

    fn remedy(&self) -> &'static str {
        match (self.listener_kind, self.protocol) {
            (ListenerKind::Kafka { sasl: false, .. }, ClientProtocol::Tls) => {
                "set security.protocol=PLAINTEXT at the client, or serve this listener with protocol = \"kafka-tls\""
            }
            (ListenerKind::Kafka { sasl: true, .. }, ClientProtocol::Tls) => {
                "set security.protocol=SASL_PLAINTEXT at the client, or serve this listener with protocol = \
                 \"kafka-sasl-tls\""
            }
            (ListenerKind::Kafka { sasl: false, .. }, ClientProtocol::Kafka) => {
                "set security.protocol=SSL at the client, or serve this listener with protocol = \"kafka-plaintext\""
            }
            (ListenerKind::Kafka { sasl: true, .. }, ClientProtocol::Kafka) => {
                "set security.protocol=SASL_SSL at the client, or serve this listener with protocol = \
                 \"kafka-sasl-plaintext\""
            }
            (ListenerKind::Kafka { .. }, ClientProtocol::Http | ClientProtocol::Http2) => {
                "only Kafka clients can use this port; send OTLP to a listener with protocol = \"otlp-http\", and \
                 requests for metrics or health to the address in `admin.bind`"
            }
            (ListenerKind::Kafka { .. }, ClientProtocol::Proxy) => {
                "list the load balancer in this listener's `proxy-protocol.from`, or turn the PROXY protocol off at the \
                 load balancer"
            }
            (ListenerKind::OtlpHttp | ListenerKind::Admin, ClientProtocol::Proxy) => {
                "turn the PROXY protocol off at the load balancer for this port; only Kafka listeners accept it"
            }
            (ListenerKind::OtlpHttp | ListenerKind::Admin, ClientProtocol::Tls) => {
                "use an http:// address at the client, or put a proxy that terminates TLS in front of this port"
            }
            (ListenerKind::OtlpHttp, ClientProtocol::Http2) => {
                "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf at the exporter, since OTLP over gRPC is not served"
            }
            (ListenerKind::Admin, ClientProtocol::Http2) => "use HTTP/1.1 at the client",
            (ListenerKind::OtlpHttp | ListenerKind::Admin, ClientProtocol::Kafka) => {
                "set bootstrap.servers at the client to the address of a Kafka listener"
            }
            (_, ClientProtocol::Ssh) | (ListenerKind::OtlpHttp | ListenerKind::Admin, ClientProtocol::Http) => {
                "use another port at the client"
            }
        }
    }
}

impl fmt::Display for WrongProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrived = match (self.protocol, self.listener_kind) {
            (ClientProtocol::Tls, _) => "TLS",
            (ClientProtocol::Http, _) => "HTTP",
            (ClientProtocol::Http2, _) => "HTTP/2",
            (ClientProtocol::Proxy, _) => "a PROXY protocol header",
            (ClientProtocol::Ssh, _) => "SSH",
            (ClientProtocol::Kafka, ListenerKind::Kafka { .. }) => "the Kafka protocol without TLS",
            (ClientProtocol::Kafka, _) => "the Kafka protocol",
        };
        let door = match self.listener_kind {
            ListenerKind::Kafka { tls: false, .. } => "plaintext Kafka listener",
            ListenerKind::Kafka { tls: true, .. } => "Kafka listener with TLS",
            ListenerKind::OtlpHttp => "OTLP/HTTP listener",
            ListenerKind::Admin => "admin endpoint",
        };
        write!(f, "{arrived} arrived at the {door} {}: {}", self.local, self.remedy())
    }
}

impl std::error::Error for WrongProtocol {}
