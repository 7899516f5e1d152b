//! Headers as load balancers send them, and malformed ones.

use super::*;

/// A header of version 2 as AWS's network load balancer sends it, with its checksum and an endpoint's id.
fn aws_header() -> Vec<u8> {
    let mut bytes = v2::SIGNATURE.to_vec();
    bytes.extend([0x21, 0x11, 0x00, 0x54]);
    bytes.extend([0xac, 0x1f, 0x07, 0x71, 0xac, 0x1f, 0x0a, 0x1f, 0xc8, 0xf2, 0x00, 0x50]);
    bytes.extend([0x03, 0x00, 0x04, 0xe8, 0xd6, 0x89, 0x2d]);
    bytes.extend(b"\xea\x00\x17\x01vpce-08d2bf15fac5001c9");
    bytes.extend(b"\x04\x00\x24");
    bytes.extend([0; 36]);
    bytes
}

fn v2_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&v2::SIGNATURE[..], &[command, family], &len, rest].concat()
}

fn ipv6_header() -> Vec<u8> {
    let mut rest = [[0x20; 16], [0x30; 16]].concat();
    rest.extend([0x12, 0x34, 0x23, 0x84]);
    v2_header(0x21, 0x21, &rest)
}

fn route(source: &str, destination: &str) -> Option<ProxiedAddresses> {
    Some(ProxiedAddresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// Reads from `stream` in parts of at most `part` bytes; returns the addresses and the bytes that were left.
fn read(mut stream: &[u8], part: usize) -> Result<(Option<ProxiedAddresses>, &[u8]), ProxyHeaderError> {
    let mut header = ProxyHeader::default();
    loop {
        let wanted = header.bytes_needed()?;
        if wanted == 0 {
            return Ok((header.addresses()?, stream));
        }
        let (now, rest) = stream.split_at(wanted.min(part).min(stream.len()));
        assert!(!now.is_empty(), "it wants more than the header");
        header.buffer(wanted).put_slice(now);
        stream = rest;
    }
}

#[test]
fn golden_headers_are_parsed_and_nothing_after_them_is_read() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), 107);
    let six_text = "[2020:2020:2020:2020:2020:2020:2020:2020]:4660";
    let six_to = "[3030:3030:3030:3030:3030:3030:3030:3030]:9092";
    let cases: [(Vec<u8>, Option<ProxiedAddresses>); 11] = [
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_vec(), route("192.168.0.1:56324", "192.168.0.11:443")),
        (b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n".to_vec(), route("255.255.255.255:65535", "0.0.0.0:0")),
        (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n".to_vec(), route("[2001:db8::7]:1", "[::1]:2")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (longest.into_bytes(), None),
        (aws_header(), route("172.31.7.113:51442", "172.31.10.31:80")),
        (ipv6_header(), route(six_text, six_to)),
        (v2_header(0x20, 0x00, b""), None),
        (v2_header(0x20, 0x11, &[1; 20]), None),
        (v2_header(0x21, 0x00, b"\x04\x00\x01x"), None),
        (v2_header(0x21, 0x31, &[b'/'; 216]), None),
    ];
    for (header, expected) in cases {
        for behind in [&b""[..], b"\r\n", &[0, 0, 0, 20, 0, 18]] {
            let stream = [&header[..], behind].concat();
            for part in 1..=header.len() {
                assert_eq!(read(&stream, part), Ok((expected, behind)), "{:?}", String::from_utf8_lossy(&header));
            }
        }
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n    ",
        "PROXY TCP4\r\n          ",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.400 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 \u{e9} 1.2.3.4 1 2\r\n",
    ] {
        assert!(matches!(read(line.as_bytes(), 200), Err(ProxyHeaderError::V1Malformed(_))), "{line:?}");
    }
}

#[test]
fn malformed_binaries_are_refused() {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2];
    let with = |extra: &[u8]| v2_header(0x21, 0x11, &[&four[..], extra].concat());
    for bytes in [
        v2_header(0x22, 0x11, &four),
        v2_header(0x11, 0x11, &four),
        v2_header(0x21, 0x12, &four),
        v2_header(0x21, 0x41, &four),
        v2_header(0x21, 0x11, &four[..11]),
        v2_header(0x21, 0x21, &[0; 35]),
        v2_header(0x21, 0x31, &[0; 215]),
        with(&[4]),
        with(&[4, 0]),
        with(&[4, 0, 2, 0]),
    ] {
        assert!(matches!(read(&bytes, 999), Err(ProxyHeaderError::V2Malformed(_))), "{bytes:?}");
    }
    for extra in [&[3, 0, 4, 0, 0, 0, 0][..], &[3, 0, 0], &[3, 0, 3, 0, 0, 0]] {
        assert_eq!(read(&with(extra), 999), Err(ProxyHeaderError::V2BadChecksum));
    }
    // Without byte 28, which is where the header says that it has a checksum.
    for at in (16..aws_header().len()).filter(|at| *at != 28) {
        let mut bytes = aws_header();
        bytes[at] ^= 1;
        assert!(read(&bytes, 999).is_err(), "a bit of byte {at} is wrong");
    }
}

#[test]
fn other_bytes_are_rejected_at_the_first_wrong_byte() {
    for (bytes, wrong) in [(&[0, 0, 0, 20][..], 1), (b"PROXY-", 6), (b"PRO\r", 4), (b"\r\n\r\n\0\r\nQUIT\r", 12)] {
        for len in 1..wrong {
            let header = ProxyHeader { bytes: bytes[..len].to_vec() };
            assert_eq!(header.bytes_needed(), Ok(MIN_HEADER - len));
            assert!(looks_like_header(&header.bytes));
        }
        assert_eq!(ProxyHeader { bytes: bytes[..wrong].to_vec() }.bytes_needed(), Err(ProxyHeaderError::Missing));
        assert!(!looks_like_header(&bytes[..wrong]));
    }
    assert!(!looks_like_header(b""));
}

#[test]
fn the_length_of_a_line_obeyed() {
    let line = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
    assert!(line.len() <= v1::LONGEST);
    assert!(read(line.as_bytes(), 999).unwrap().0.is_some());
}

#[test]
fn the_length_of_a_line_violated() {
    let line = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    assert_eq!(line.len(), v1::LONGEST + 1);
    assert_eq!(read(line.as_bytes(), 999), Err(ProxyHeaderError::V1TooLong));
    assert_eq!(read(&[b"PROXY ", &[b'x'; 200][..]].concat(), 1), Err(ProxyHeaderError::V1TooLong));
}

#[test]
fn the_length_of_a_binary_obeyed() {
    let mut extra = vec![4, 0x07, 0xfd];
    extra.resize(v2::LONGEST, 0);
    assert_eq!(read(&v2_header(0x21, 0x00, &extra), 9999), Ok((None, &[][..])));
}

#[test]
fn the_length_of_a_binary_violated() {
    let bytes = v2_header(0x20, 0x00, &vec![0; v2::LONGEST + 1]);
    assert_eq!(read(&bytes[..16], 16), Err(ProxyHeaderError::V2TooLong(2049)), "before any of it is read");
}

#[test]
fn sources_are_addresses_and_networks() {
    let parse = |from: &[&str]| TrustedProxies::parse(&from.iter().map(ToString::to_string).collect::<Vec<_>>());
    let proxies = parse(&["10.0.0.0/8", "127.0.0.1", "fd00::/8"]).unwrap();
    for listed in ["10.9.8.7", "127.0.0.1", "::ffff:10.0.0.1", "fd00::1"] {
        assert!(proxies.contains(listed.parse().unwrap()), "{listed}");
    }
    for other in ["11.0.0.1", "127.0.0.2", "::1", "::ffff:11.0.0.1"] {
        assert!(!proxies.contains(other.parse().unwrap()), "{other}");
    }
    for wrong in [&[][..], &["10.0.0.1/8"], &["balancer.example"], &["10.0.0.0/33"], &["::ffff:10.0.0.0/104"]] {
        let words = parse(wrong).expect_err("wrong");
        assert!(words.contains("proxy-protocol.from"), "{words}");
    }
}
