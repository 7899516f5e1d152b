//! Decides which IP addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is a public one on the internet: it is not this machine, a private network or the metadata
/// service of a cloud, and it is not another notation of one of these.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// All IPv4 addresses except those of the special-purpose registry (RFC 6890 and its updates) that are not globally
/// reachable.
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let special = match v4.octets() {
        [0, ..] | [10, ..] | [127, ..] => true,
        [100, b, ..] => b & 0xc0 == 64,
        // Link-local, which includes the metadata service of most clouds.
        [169, 254, ..] => true,
        [172, b, ..] => b & 0xf0 == 16,
        [192, 168, ..] | [192, 0, 0, _] | [192, 0, 2, _] | [192, 88, 99, _] => true,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Multicast, reserved, broadcast.
        [a, ..] => a >= 224,
    };
    // The metadata service of Azure has an otherwise ordinary address.
    !special && v4 != Ipv4Addr::new(168, 63, 129, 16)
}

/// Global unicast (2000::/3) except its special blocks, and except every form that embeds an IPv4 address that is not
/// public.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    match v6.segments() {
        // IPv4-mapped, and NAT64's well-known prefix.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // IETF protocol assignments (Teredo, ORCHID, benchmarking), documentation.
        [0x2001, block, ..] if block < 0x200 || block == 0xdb8 => false,
        [0x3fff, block, ..] if block < 0x1000 => false,
        // ISATAP.
        [first, _, _, _, 0 | 0x200, 0x5efe, high, low] => is_global(first) && is_public_v4(embedded(high, low)),
        [first, ..] => is_global(first),
    }
}

fn is_global(first: u16) -> bool {
    first & 0xe000 == 0x2000
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_public_is_recognized_in_every_notation() {
        let refused = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2606:4700::5efe:a00:1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address} is not public");
        }
    }

    #[test]
    fn the_internet_is_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address} is public");
        }
    }
}
