//! The one spelling of a client's source address in labels, facts, lists and logs.

use std::net::{IpAddr, Ipv6Addr};

use regex::Regex;

/// An address as RFC 5952 writes it: IPv6 in lower case with the longest run of zeros as `::`. An IPv4-mapped address
/// is written as the IPv4 address. The text has neither port nor scope.
pub fn format(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// Whether a pattern matches an address. Patterns for Kafka are written for Java's spelling, which has every group of
/// an IPv6 address (`0:0:0:0:0:0:0:1`), so a pattern that matches either spelling matches.
pub(crate) fn matches(pattern: &Regex, address: IpAddr) -> bool {
    pattern.is_match(&format(address))
        || match address.to_canonical() {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => pattern.is_match(&uncompressed(address)),
        }
}

/// The spelling of Java's `InetAddress.getHostAddress`.
fn uncompressed(address: Ipv6Addr) -> String {
    address.segments().map(|group| format!("{group:x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_are_written_as_in_rfc_5952() {
        for (given, expected) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ] {
            assert_eq!(format(address(given)), expected);
        }
    }

    #[test]
    fn a_pattern_may_have_either_spelling() {
        let fits =
            |pattern: &str, given: &str| matches(&Regex::new(&format!("^(?:{pattern})$")).unwrap(), address(given));
        for pattern in ["::1", "0:0:0:0:0:0:0:1", ".*:1"] {
            assert!(fits(pattern, "::1"), "{pattern}");
        }
        assert!(fits("10[.]0[.]0[.].*", "::ffff:10.0.0.7"));
        assert!(fits("2001:db8:0:0:.*", "2001:db8::a:0:1"));
        for pattern in ["::2", "0:0:0:0:0:0:0:2", "0:1"] {
            assert!(!fits(pattern, "::1"), "{pattern}");
        }
    }
}
