//! However the first bytes of a connection are split into reads, the detected client address is the same, no byte after
//! the header is consumed, and the buffer never exceeds the maximum header. The first input byte selects the pieces.
#![no_main]

use bytes::BufMut as _;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/ingress/src/kafka"]
mod host {
    pub mod proxy;
}
use host::proxy::{MIN_HEADER, ProxiedAddresses, ProxyHeader, ProxyHeaderError, looks_like_header};

/// The maximum size of a header: the first 16 bytes of version 2 and the length that they may declare.
const MAX_HEADER: usize = 16 + (2 << 10);

fuzz_target!(|input: &[u8]| {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = read(stream, MAX_HEADER);
    assert_eq!(read(stream, usize::from(cut) + 1), whole);
    assert_eq!(read(stream, 1), whole);
    if let Some(Ok((_, taken))) = whole {
        assert!(looks_like_header(&stream[..MIN_HEADER]));
        // Bytes after the header make no difference.
        assert_eq!(read(&stream[..taken], MAX_HEADER), whole);
    }
});

/// The detected route and the header length; `None` if the stream ends early.
fn read(stream: &[u8], part: usize) -> Option<Result<(Option<ProxiedAddresses>, usize), ProxyHeaderError>> {
    let (mut header, mut taken) = (ProxyHeader::default(), 0);
    loop {
        let wanted = match header.bytes_needed() {
            Ok(0) => return Some(header.addresses().map(|route| (route, taken))),
            Ok(wanted) => wanted,
            Err(flaw) => return Some(Err(flaw)),
        };
        assert!(taken + wanted <= MAX_HEADER, "{wanted} more bytes are requested after {taken}");
        let now = wanted.min(part).min(stream.len() - taken);
        if now == 0 {
            return None;
        }
        let mut buffer = header.buffer(wanted);
        assert_eq!(buffer.remaining_mut(), wanted);
        buffer.put_slice(&stream[taken..taken + now]);
        taken += now;
    }
}
