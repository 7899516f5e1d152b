//! Networks in CIDR notation: `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `network/bits`; a single address is a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The first address of the network.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// Whether the address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(n), IpAddr::V4(a)) => {
                masked(n.to_bits().into(), 32, self.bits) == masked(a.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(n), IpAddr::V6(a)) => {
                masked(n.to_bits(), 128, self.bits) == masked(a.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

/// The first `bits` of a number of `width` bits, shifted to the right.
fn masked(number: u128, width: u32, bits: u8) -> u128 {
    let rest = width.saturating_sub(bits.into());
    number.checked_shr(rest).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not a network such as `10.0.0.0/8` or `fd00::/8`");
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let network: IpAddr = address.trim().parse().map_err(|_| invalid())?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |b| b.trim().parse().map_err(|_| invalid()))?;
        let cidr = Self { network, bits };
        if bits > width {
            return Err(invalid());
        }
        let first = cidr.first_address();
        // `10.1.2.3/8` is more often a typing error than intended as `10.0.0.0/8`.
        if first != network {
            return Err(format!("`{text}` has bits set after its prefix; use `{first}/{bits}`, or `{network}` alone"));
        }
        Ok(cidr)
    }
}

impl Cidr {
    fn first_address(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(n) => {
                let mask = u32::MAX.checked_shl(32u32.saturating_sub(self.bits.into())).unwrap_or(0);
                Ipv4Addr::from_bits(n.to_bits() & mask).into()
            }
            IpAddr::V6(n) => {
                let mask = u128::MAX.checked_shl(128u32.saturating_sub(self.bits.into())).unwrap_or(0);
                Ipv6Addr::from_bits(n.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        let ten: Cidr = "10.0.0.0/8".parse().unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()) && !ten.contains("11.0.0.1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains("203.0.113.1".parse().unwrap()));
        assert!(!"::/0".parse::<Cidr>().unwrap().contains("203.0.113.1".parse().unwrap()));
        let unique: Cidr = "fd00::/8".parse().unwrap();
        assert!(unique.contains("fdff::1".parse().unwrap()) && !unique.contains("fc00::1".parse().unwrap()));
        assert!("127.0.0.1".parse::<Cidr>().unwrap().contains("127.0.0.1".parse().unwrap()));
        for invalid in ["10.0.0.0/33", "10.0.0.1/8", "fd00::1/8", "ten", "10.0.0.0/", "", "::/129"] {
            assert!(invalid.parse::<Cidr>().is_err(), "{invalid}");
        }
    }
}
