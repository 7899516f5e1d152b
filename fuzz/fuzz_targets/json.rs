//! For arbitrary text, the output does not exceed the limit and is valid except for its nesting depth, and only the
//! limit decides whether there is output. The first input byte selects the limit.
#![no_main]

use barnabas_otlp::message::MetricsData;
use barnabas_otlp::walk::check;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/pipeline/src"]
mod host {
    pub mod decode {
        mod json;

        /// The function of the module. The error is the reason, or `None` if the output would exceed the limit.
        pub fn to_protobuf(text: &[u8], limit: usize) -> Result<Vec<u8>, Option<String>> {
            json::to_protobuf(text, limit).map_err(|why| match why {
                json::JsonError::TooLarge => None,
                json::JsonError::Invalid(why) => Some(why),
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
        // The text is invalid, possibly behind the place where the limit was reached.
        (Err(_), Err(why)) => assert!(why.is_some(), "without a limit nothing is too large"),
        (Err(why), Ok(_)) => panic!("an error only with a limit: {why:?}"),
    }
    let Ok(bytes) = &whole else { return };
    let checked = check(bytes);
    assert_eq!(checked.is_ok(), MetricsData::decode(bytes.as_slice()).is_ok(), "{checked:?}");
    if let Ok(summary) = checked {
        assert_eq!(summary.bad_strings, 0, "JSON strings are valid UTF-8");
    }
});
