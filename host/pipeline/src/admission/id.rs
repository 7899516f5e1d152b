//! Subscription ids: a pure function, so that several hosts agree on them.

use std::fmt::Write as _;
use std::time::Duration;

use super::AdmissionConfig;
use barnabas_base::{Codec, InstanceId};

/// Apache Kafka's formula: the CRC32C of the assignment's text, mixed with the instance id. Never 0, because librdkafka
/// treats 0 differently.
pub(super) fn subscription_id(checksum: u32, instance: InstanceId) -> i32 {
    match checksum as i32 ^ hash(instance) {
        0 => 1,
        id => id,
    }
}

/// An assignment as text: Apache Kafka's text of a sorted set of metrics, `[a, b]`, then the interval in milliseconds,
/// then what that text lacks.
pub(super) fn canonical_text(sorted: &[&str], interval: Duration, extension: &str) -> String {
    format!("[{}]{}{extension}", sorted.join(", "), interval.as_millis())
}

/// Java's `UUID.hashCode`.
fn hash(instance: InstanceId) -> i32 {
    let bits = u128::from_be_bytes(*instance.as_bytes());
    let halves = (bits >> 64) as u64 ^ bits as u64;
    (halves >> 32) as i32 ^ halves as i32
}

/// What Apache Kafka's text lacks: clients must notice when any of it changes.
pub(super) fn extension_text(config: &AdmissionConfig, all_as_empty_prefix: bool) -> String {
    let mut text = String::from("|");
    for codec in Codec::OFFERED {
        // Writing to a String never fails.
        let _ = write!(text, "{},", codec.id());
    }
    let _ = write!(text, "|{}|{}|{}", config.max_wire_bytes, config.delta, all_as_empty_prefix);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "cBrordIqXpq0qkqcvYahPA";

    #[test]
    fn the_id_follows_apaches_formula() {
        let id =
            |text: &str| subscription_id(crc32c::crc32c(text.as_bytes()), INSTANCE.parse().expect("an instance id"));
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(hash(INSTANCE.parse().expect("an instance id")) as u32, 0xab1c_5d97);
        assert_eq!(id("[*]300000"), -1_756_802_380);
        assert_eq!(id("[]300000"), 2_145_060_425);
        assert_eq!(id("[org.apache.kafka.producer.]1000"), -2_110_596_882);
        assert_eq!(id("[org.apache.kafka.producer., org.apache.kafka.consumer.]60000"), 1_827_416_367);
        let sorted = ["org.apache.kafka.consumer.", "org.apache.kafka.producer."];
        assert_eq!(id(&canonical_text(&sorted, Duration::from_secs(60), "")), -895_730_405);
    }

    #[test]
    fn the_id_is_never_zero() {
        let crc = crc32c::crc32c(b"x");
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(hash(InstanceId::from_bytes(bytes)) as u32, crc);
        assert_eq!(subscription_id(crc, InstanceId::from_bytes(bytes)), 1);
    }

    #[test]
    fn every_part_of_the_assignment_changes_the_id() {
        let base = AdmissionConfig::default();
        let texts = [
            extension_text(&base, false),
            extension_text(&AdmissionConfig { delta: true, ..base.clone() }, false),
            extension_text(&AdmissionConfig { max_wire_bytes: 5, ..base.clone() }, false),
            extension_text(&base, true),
        ];
        let distinct: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
    }
}
