//! Identifies the client by the push itself, for protocols without a client instance id.
//!
//! In: a checked payload and a rule. Out: the payload with the facts of its client that the listed attributes of the
//! first resource give, and always an instance id: a listed one, or else one derived from the peer's address and the
//! resource. It reads only the first resource (one client, one resource), and allocates only the names that it finds.
//! Never: overrides a fact that the ingress knew.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Payload;
use crate::push::{Client, PushId, address};
use barnabas_base::InstanceId;

/// The resource attributes that give each fact. Of each list the first attribute that is present and valid is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRule {
    /// 22 characters of base64url, as Kafka prints ids, or a hyphenated UUID; other values are skipped.
    pub instance_id: Vec<String>,
    /// `client.id`.
    pub client_id: Vec<String>,
    /// The name of the client library.
    pub software_name: Vec<String>,
    /// The version of the client library.
    pub software_version: Vec<String>,
}

impl Default for IdentityRule {
    /// The labels that this host's own exporter sets, then OpenTelemetry's semantic conventions for the same facts.
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            instance_id: list(&["client_instance_id", "service.instance.id"]),
            client_id: list(&["client_id"]),
            software_name: list(&["client_software_name", "telemetry.sdk.name"]),
            software_version: list(&["client_software_version", "telemetry.sdk.version"]),
        }
    }
}

impl IdentityRule {
    /// Completes the facts that `client` lacks from `metrics` (a checked `MetricsData`).
    pub fn complete(&self, client: &Client, metrics: &[u8]) -> Client {
        let resource = ResourceMessage::first(metrics);
        let or_from_resource = |have: &Option<Arc<str>>, names: &[String]| {
            have.clone().or_else(|| resource.first_of(names, |value| (!value.is_empty()).then(|| value.into())))
        };
        Client {
            instance_id: client.instance_id.or_else(|| Some(self.instance_id(client, &resource))),
            client_id: or_from_resource(&client.client_id, &self.client_id),
            software_name: or_from_resource(&client.software_name, &self.software_name),
            software_version: or_from_resource(&client.software_version, &self.software_version),
            ..client.clone()
        }
    }

    fn instance_id(&self, client: &Client, resource: &ResourceMessage<'_>) -> InstanceId {
        let listed =
            resource.first_of(&self.instance_id, |value| parse_instance_id(value).filter(|id| !id.is_reserved()));
        listed.unwrap_or_else(|| derive_instance_id(client.source.map(|at| at.ip()), resource.0))
    }
}

impl Payload {
    /// The payload with the client facts of its own resource. The push id then covers the instance id as well, as it
    /// does for ingresses that know it: equal bytes from two peers are two pushes.
    pub fn with_identity(mut self, rule: &IdentityRule) -> Self {
        let client = rule.complete(&self.client, &self.bytes);
        if let (None, Some(id)) = (self.client.instance_id, client.instance_id) {
            self.id = PushId(u128::from_be_bytes(digest(&[id.as_bytes(), &self.id.0.to_be_bytes()])));
        }
        self.client = Arc::new(client);
        self
    }
}

/// Kafka's text form, or that of a UUID.
fn parse_instance_id(text: &str) -> Option<InstanceId> {
    text.parse().ok().or_else(|| uuid(text))
}

fn uuid(text: &str) -> Option<InstanceId> {
    let hyphens = text.bytes().enumerate().filter(|(_, b)| *b == b'-').map(|(at, _)| at);
    if text.len() != 36 || !hyphens.eq([8, 13, 18, 23]) {
        return None;
    }
    let mut number = 0;
    for digit in text.chars().filter(|c| *c != '-') {
        number = number << 4 | u128::from(digit.to_digit(16)?);
    }
    Some(InstanceId::from_bytes(number.to_be_bytes()))
}

/// The same id for the same peer and resource, on every host and after every restart: a digest in the form of a random
/// UUID, which is what receivers expect there. The peer's port is left out because it changes.
fn derive_instance_id(peer: Option<IpAddr>, resource: &[u8]) -> InstanceId {
    let peer = peer.map(address::format).unwrap_or_default();
    // The text is part of every derived id, so it must not change.
    let draw = |n: u64| digest(&[b"client of an OTLP door\0", peer.as_bytes(), &[0], &n.to_be_bytes(), resource]);
    (0..).find_map(|n| InstanceId::from_random(draw(n))).expect("63 of 64 digests are valid ids")
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let whole: [u8; 32] = hash.finalize().into();
    *whole.first_chunk().expect("32 bytes begin with 16")
}

/// The bytes of one `Resource` message; empty if there is none.
struct ResourceMessage<'a>(&'a [u8]);

impl<'a> ResourceMessage<'a> {
    /// `MetricsData.resource_metrics` and `ResourceMetrics.resource` are both field 1.
    fn first(metrics: &'a [u8]) -> Self {
        let resource_metrics = MessageFields(metrics).find_map(|f| f.message(1)).unwrap_or_default();
        Self(MessageFields(resource_metrics).find_map(|f| f.message(1)).unwrap_or_default())
    }

    /// The first listed attribute that is a string and that `read` accepts.
    fn first_of<T>(&self, names: &[String], read: impl Fn(&str) -> Option<T>) -> Option<T> {
        names.iter().find_map(|name| read(&self.attribute(name)?))
    }

    fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let pairs = MessageFields(self.0).filter_map(|f| f.message(1));
        pairs.filter(|pair| text(pair, 1) == Some(name.as_bytes())).find_map(|pair| {
            let value = MessageFields(pair).find_map(|f| f.message(2))?;
            text(value, 1).map(String::from_utf8_lossy)
        })
    }
}

/// The string field of that number in a message.
fn text(message: &[u8], number: u64) -> Option<&[u8]> {
    MessageFields(message).find_map(|f| f.message(number))
}

/// The fields of a message, up to the first group or malformed field (a checked push has none).
struct MessageFields<'a>(&'a [u8]);

struct MessageField<'a> {
    number: u64,
    /// The content of a length-delimited field.
    bytes: Option<&'a [u8]>,
}

impl<'a> MessageField<'a> {
    fn message(&self, number: u64) -> Option<&'a [u8]> {
        self.bytes.filter(|_| self.number == number)
    }
}

impl<'a> Iterator for MessageFields<'a> {
    type Item = MessageField<'a>;

    fn next(&mut self) -> Option<MessageField<'a>> {
        let key = self.varint()?;
        let bytes = match key & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.split(8).map(|_| None)?,
            2 => Some(self.varint().and_then(|len| self.split(usize::try_from(len).ok()?))?),
            5 => self.split(4).map(|_| None)?,
            _ => return None,
        };
        Some(MessageField { number: key >> 3, bytes })
    }
}

impl<'a> MessageFields<'a> {
    fn split(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::admission::Admitted;
    use crate::decode::{Decoded, Decoder};
    use crate::push::{Ingress, Push};

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len > 0x7f {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(bytes);
        out
    }

    /// `MetricsData` with one resource of string attributes.
    fn metrics(attributes: &[(&str, &str)]) -> Vec<u8> {
        let resource: Vec<u8> = attributes
            .iter()
            .flat_map(|(key, value)| {
                let value = field(2, &field(1, value.as_bytes()));
                field(1, &[field(1, key.as_bytes()), value].concat())
            })
            .collect();
        field(1, &field(1, &resource))
    }

    fn from(source: &str) -> Client {
        Client { source: Some(source.parse().unwrap()), ..Client::default() }
    }

    fn complete(client: &Client, attributes: &[(&str, &str)]) -> Client {
        IdentityRule::default().complete(client, &metrics(attributes))
    }

    #[test]
    fn listed_attributes_identify_the_client() {
        let peer = from("10.0.0.1:1000");
        let client = complete(
            &peer,
            &[
                ("service.name", "shop"),
                ("client_instance_id", "cBrordIqXpq0qkqcvYahPA"),
                ("client_id", "orders"),
                ("telemetry.sdk.name", "opentelemetry"),
                ("client_software_version", "4.1.0"),
            ],
        );
        assert_eq!(client.instance_id.unwrap().to_string(), "cBrordIqXpq0qkqcvYahPA");
        assert_eq!(client.client_id.as_deref(), Some("orders"));
        assert_eq!(client.software_name.as_deref(), Some("opentelemetry"));
        assert_eq!(client.software_version.as_deref(), Some("4.1.0"));
        assert_eq!(client.source, peer.source);
    }

    #[test]
    fn a_missing_attribute_leaves_the_fact_absent() {
        let client = complete(&from("10.0.0.1:1000"), &[("service.name", "shop"), ("client_id", "")]);
        assert_eq!((client.client_id, client.software_name, client.software_version), (None, None, None));
        assert!(client.instance_id.is_some());
    }

    #[test]
    fn a_uuid_is_an_instance_id_too_and_the_next_attribute_counts_where_one_is_unusable() {
        let uuid = "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13c";
        for first in ["nonsense", "AAAAAAAAAAAAAAAAAAAAAA", ""] {
            let client = complete(&Client::default(), &[("client_instance_id", first), ("service.instance.id", uuid)]);
            assert_eq!(client.instance_id.unwrap().to_string(), "cBrordIqXpq0qkqcvYahPA", "{first}");
        }
        for wrong in [
            "701ae8add22a5e9ab4aa4a9cbd86a13c",
            "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13g",
            "701ae8ad-d22a5-e9a-b4aa-4a9cbd86a13c",
        ] {
            assert_eq!(parse_instance_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_derived_id_depends_on_peer_and_resource_alone() {
        let id = |source: &str, service: &str| complete(&from(source), &[("service.name", service)]).instance_id;
        let first = id("10.0.0.1:1000", "shop");
        assert_eq!(first, id("10.0.0.1:2000", "shop"), "another connection of the same client");
        assert_eq!(first, id("[::ffff:10.0.0.1]:1000", "shop"), "the same peer at a dual-stack listener");
        assert_ne!(first, id("10.0.0.2:1000", "shop"));
        assert_ne!(first, id("10.0.0.1:1000", "cart"));
        let bytes = *first.unwrap().as_bytes();
        assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (4, 2), "it has the form of a UUID");
    }

    #[test]
    fn facts_from_the_listener_are_not_overridden() {
        let known = Client {
            instance_id: "cBrordIqXpq0qkqcvYahPA".parse().ok(),
            client_id: Some("ingress".into()),
            ..Client::default()
        };
        let client = complete(&known, &[("client_id", "resource"), ("client_instance_id", "AAAAAAAAAAAAAAAAAAAAAg")]);
        assert_eq!(client, known);
    }

    #[test]
    fn a_payload_derives_its_client_and_its_id_from_its_resource() {
        let payload = |source: &str| {
            let push = Push {
                client: Arc::new(from(source)),
                ingress: Ingress::OtlpHttp,
                received_at: SystemTime::UNIX_EPOCH,
                terminating: false,
                subscription_id: None,
                codec: 0,
                format: crate::push::Format::Protobuf,
                wire: metrics(&[("client_id", "orders")]).into(),
                push_interval: None,
                node_id: None,
                trace_parent: None,
            };
            match Decoder::default().decode(Admitted::declared(push).unwrap()).unwrap() {
                Decoded::Payload(payload) => payload.with_identity(&IdentityRule::default()),
                Decoded::Empty => unreachable!("it has a resource"),
            }
        };
        let (first, again, other) = (payload("10.0.0.1:1"), payload("10.0.0.1:2"), payload("10.0.0.2:1"));
        assert_eq!(first.client().client_id.as_deref(), Some("orders"));
        assert_eq!(first.id(), again.id(), "sent again over another connection");
        assert_ne!(first.id(), other.id(), "equal bytes of another client");
        let id = first.id();
        assert_eq!(first.with_identity(&IdentityRule::default()).id(), id, "identifying twice changes nothing");
    }

    #[test]
    fn bytes_that_are_not_metrics_identify_no_client() {
        let whole = metrics(&[("client_id", "orders"), ("client_instance_id", "cBrordIqXpq0qkqcvYahPA")]);
        for end in 0..whole.len() {
            assert!(IdentityRule::default().complete(&Client::default(), &whole[..end]).instance_id.is_some());
        }
        for noise in [&[0xff; 40][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0b, 0x0c], &[]] {
            let client = IdentityRule::default().complete(&Client::default(), noise);
            assert_eq!(client.client_id, None);
        }
    }
}
