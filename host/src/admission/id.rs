//! Subscription ids: a pure function, so that several hosts agree.

use std::fmt::Write as _;
use std::time::Duration;

use super::Config;
use crate::push::{Codec, InstanceId};

/// Apache's formula over `text`: CRC32C mixed with the instance id. Never 0, at which librdkafka behaves differently.
pub(super) fn subscription_id(text: &str, instance: InstanceId) -> i32 {
    match crc32c::crc32c(text.as_bytes()) as i32 ^ hash(instance) {
        0 => 1,
        id => id,
    }
}

/// The id of an answer: its set as text, its interval, and what Apache's text lacks.
pub(super) fn of_answer(set: &str, interval: Duration, extension: &str, instance: InstanceId) -> i32 {
    subscription_id(&format!("{set}{}{extension}", interval.as_millis()), instance)
}

/// Java's `UUID.hashCode`.
fn hash(instance: InstanceId) -> i32 {
    let bits = u128::from_be_bytes(*instance.as_bytes());
    let halves = (bits >> 64) as u64 ^ bits as u64;
    (halves >> 32) as i32 ^ halves as i32
}

/// Apache's text of a set of metrics, sorted: `[a, b]`.
pub(super) fn set_text(sorted: &[&str]) -> String {
    format!("[{}]", sorted.join(", "))
}

/// What Apache's text lacks of an answer: clients shall notice when any of it changes.
pub(super) fn extension(config: &Config) -> String {
    let mut text = String::from("|");
    for codec in Codec::OFFERED {
        // Writing to a String never fails.
        let _ = write!(text, "{},", codec.id());
    }
    let _ = write!(text, "|{}|{}|{}", config.max_wire, config.delta, config.all_as_empty_prefix);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "cBrordIqXpq0qkqcvYahPA";

    #[test]
    fn apaches_formula() {
        let id = |text: &str| subscription_id(text, INSTANCE.parse().expect("an instance id"));
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(hash(INSTANCE.parse().expect("an instance id")) as u32, 0xab1c_5d97);
        assert_eq!(id("[*]300000"), -1_756_802_380);
        assert_eq!(id("[]300000"), 2_145_060_425);
        assert_eq!(id("[org.apache.kafka.producer.]1000"), -2_110_596_882);
        assert_eq!(id("[org.apache.kafka.producer., org.apache.kafka.consumer.]60000"), 1_827_416_367);
        let sorted = set_text(&["org.apache.kafka.consumer.", "org.apache.kafka.producer."]);
        assert_eq!(id(&format!("{sorted}60000")), -895_730_405);
    }

    #[test]
    fn zero_is_avoided() {
        let crc = crc32c::crc32c(b"x");
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(hash(InstanceId::from_bytes(bytes)) as u32, crc);
        assert_eq!(subscription_id("x", InstanceId::from_bytes(bytes)), 1);
    }

    #[test]
    fn everything_in_the_answer_changes_the_id() {
        let base = Config::default();
        let texts = [
            extension(&base),
            extension(&Config { delta: true, ..base.clone() }),
            extension(&Config { max_wire: 5, ..base.clone() }),
            extension(&Config { all_as_empty_prefix: true, ..base }),
        ];
        let distinct: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
    }
}
