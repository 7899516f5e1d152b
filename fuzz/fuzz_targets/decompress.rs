//! For arbitrary bytes, no codec returns more than the limit, and gzip returns the same as an independent reader. The
//! first input byte selects the codec and the limit.
#![no_main]

use std::io::Read as _;

use barnabas_base::Codec;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/pipeline/src"]
mod host {
    pub mod decode {
        mod decompress;

        /// The function of the module, with the borrowed result copied.
        pub fn decompress(codec: barnabas_base::Codec, wire: &[u8], limit: usize) -> Result<Vec<u8>, String> {
            decompress::with_scratch(codec, wire, limit, |out| {
                out.map(|bytes| bytes.to_vec()).map_err(|stop| format!("{stop:?}"))
            })
        }
    }
}
use host::decode::decompress;

const LIMITS: [usize; 4] = [1 << 20, 64 << 10, 100, 0];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, wire)) = input.split_first() else { return };
    let Some(codec) = Codec::from_id((choice % 5) as i8) else { return };
    let limit = LIMITS[usize::from(choice / 5) % LIMITS.len()];
    let out = decompress(codec, wire, limit);
    if let Ok(bytes) = &out {
        assert!(bytes.len() <= limit);
    }
    // A decompression context works like a new one, whatever the previous input was.
    assert_eq!(decompress(codec, wire, limit), out);
    if codec == Codec::Gzip {
        let mut expected = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(wire).take(limit as u64 + 1).read_to_end(&mut expected);
        if !wire.is_empty() && read.is_ok() && expected.len() <= limit {
            assert_eq!(out.as_ref(), Ok(&expected));
        }
    }
});
