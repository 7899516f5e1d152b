//! Local source addresses of connections.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Maximum number of addresses, as a protection against mistakes.
const MOST: u32 = 4096;

/// Local addresses, used round-robin. Without any, the system chooses the address.
///
/// Written as a list (`127.0.0.2,127.0.0.3`), as a block of IPv4 addresses without its first and last
/// (`127.0.0.0/28`), or as a number of loopback addresses starting at 127.0.0.1 (`4`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses(pub Vec<IpAddr>);

impl SourceAddresses {
    /// The source address of a connection.
    pub(super) fn for_connection(&self, number: usize) -> Option<IpAddr> {
        self.0.get(number.checked_rem(self.0.len())?).copied()
    }
}

impl FromStr for SourceAddresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a list of source addresses; use 127.0.0.2,127.0.0.3 or 127.0.0.0/28, or a number of \
                 loopback addresses, up to {MOST}"
            )
        };
        if let Ok(count) = text.parse::<u32>() {
            return run(Ipv4Addr::LOCALHOST, count).ok_or_else(wrong);
        }
        if let Some((base, bits)) = text.split_once('/') {
            let (base, bits): (Ipv4Addr, u32) =
                base.parse().ok().zip(bits.parse().ok().filter(|bits| (2..=30).contains(bits))).ok_or_else(wrong)?;
            let first = (base.to_bits() & !(u32::MAX >> bits)) + 1;
            return run(Ipv4Addr::from_bits(first), (u32::MAX >> bits) - 1).ok_or_else(wrong);
        }
        let list: Result<Vec<IpAddr>, _> = text.split(',').map(|one| one.trim().parse()).collect();
        list.ok().filter(|list| list.len() <= MOST as usize).map(Self).ok_or_else(wrong)
    }
}

fn run(first: Ipv4Addr, count: u32) -> Option<SourceAddresses> {
    if !(1..=MOST).contains(&count) {
        return None;
    }
    let last = first.to_bits().checked_add(count - 1)?;
    Some(SourceAddresses((first.to_bits()..=last).map(|bits| Ipv4Addr::from_bits(bits).into()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let sources: SourceAddresses = text.parse().unwrap();
        sources.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_blocks_and_counts() {
        assert_eq!(read("127.0.0.2, 127.0.0.3"), ["127.0.0.2", "127.0.0.3"]);
        assert_eq!(read("::1"), ["::1"]);
        assert_eq!(read("2"), ["127.0.0.1", "127.0.0.2"]);
        assert_eq!(read("127.0.5.9/30"), ["127.0.5.9", "127.0.5.10"]);
        assert_eq!(read("127.0.0.0/24").len(), 254);
        let sources: SourceAddresses = "2".parse().unwrap();
        assert_eq!(
            (sources.for_connection(0), sources.for_connection(2)),
            (sources.for_connection(4), sources.for_connection(0))
        );
        assert_eq!(SourceAddresses::default().for_connection(3), None);
    }

    #[test]
    fn invalid_sources_are_refused_with_a_remedy() {
        for text in ["", "0", "5000", "127.0.0.0/8", "127.0.0.0/31", "127.0.0.0/x", "localhost", "127.0.0.2;127.0.0.3"]
        {
            let said = text.parse::<SourceAddresses>().unwrap_err();
            assert!(said.contains(&format!("`{text}`")) && said.contains("127.0.0.0/28"), "{said}");
        }
    }
}
