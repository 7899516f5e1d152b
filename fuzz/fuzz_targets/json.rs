//! Whatever the text, no more comes of it than the limit, what comes is sound but for its depth, and the limit alone
//! decides whether it comes. The first input byte chooses the limit.
#![no_main]

use barnabas_otlp::message::MetricsData;
use barnabas_otlp::walk::check;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/src"]
mod host {
    pub mod decode {
        mod json;

        /// The room's own function. The error is why, or that there was too much.
        pub fn to_protobuf(text: &[u8], limit: usize) -> Result<Vec<u8>, Option<String>> {
            json::to_protobuf(text, limit).map_err(|why| match why {
                json::NotJson::TooLong => None,
                json::NotJson::Wrong(why) => Some(why),
            })
        }
    }
}

use host::decode::to_protobuf;

const LIMITS: [usize; 4] = [1 << 20, 4 << 10, 100, 0];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, text)) = input.split_first() else { return };
    let limit = LIMITS[usize::from(choice) % LIMITS.len()];
    let (bounded, whole) = (to_protobuf(text, limit), to_protobuf(text, usize::MAX));
    match (&bounded, &whole) {
        (Ok(bytes), _) => {
            assert!(bytes.len() <= limit);
            assert_eq!(bounded, whole);
        }
        (Err(None), Ok(bytes)) => assert!(bytes.len() > limit),
        // It was wrong, or would have been later on.
        (Err(_), Err(why)) => assert!(why.is_some(), "nothing is too long for no limit"),
        (Err(why), Ok(_)) => panic!("wrong within a limit only: {why:?}"),
    }
    let Ok(bytes) = &whole else { return };
    let checked = check(bytes);
    assert_eq!(checked.is_ok(), MetricsData::decode(bytes.as_slice()).is_ok(), "{checked:?}");
    if let Ok(summary) = checked {
        assert_eq!(summary.bad_strings, 0, "JSON is text");
    }
});
