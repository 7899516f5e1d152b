//! However the first bytes of a connection are cut, the same is said of the client, never a byte behind the header is
//! read, and no more is held than a header may have. The first input byte says how they are cut.
#![no_main]

use bytes::BufMut as _;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/src"]
mod host {
    pub mod listener {
        pub mod kafka {
            pub mod proxy;
        }
    }
    pub mod units {
        pub mod cidr;
    }
}
// The modules name each other from the root of their crate.
use host::listener::kafka::proxy::{FIRST, Flaw, Header, Route, begins};
pub(crate) use host::units;

/// The most that a header may have: version 2's first 16 bytes and what it may announce.
const LONGEST: usize = 16 + (2 << 10);

fuzz_target!(|input: &[u8]| {
    let Some((&cut, stream)) = input.split_first() else { return };
    let at_once = read(stream, LONGEST);
    assert_eq!(read(stream, usize::from(cut) + 1), at_once);
    assert_eq!(read(stream, 1), at_once);
    if let Some(Ok((_, taken))) = at_once {
        assert!(begins(&stream[..FIRST]));
        // What follows changes nothing.
        assert_eq!(read(&stream[..taken], LONGEST), at_once);
    }
});

/// What is said of the client and by how many bytes; `None` when the stream ends first.
fn read(stream: &[u8], part: usize) -> Option<Result<(Option<Route>, usize), Flaw>> {
    let (mut header, mut taken) = (Header::default(), 0);
    loop {
        let wanted = match header.wants() {
            Ok(0) => return Some(header.said().map(|route| (route, taken))),
            Ok(wanted) => wanted,
            Err(flaw) => return Some(Err(flaw)),
        };
        assert!(taken + wanted <= LONGEST, "{wanted} more are wanted behind {taken}");
        let now = wanted.min(part).min(stream.len() - taken);
        if now == 0 {
            return None;
        }
        let mut room = header.room(wanted);
        assert_eq!(room.remaining_mut(), wanted);
        room.put_slice(&stream[taken..taken + now]);
        taken += now;
    }
}
