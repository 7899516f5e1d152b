//! The check agrees with prost, prost accepts repaired input, and accepted input becomes a valid request with labels.
#![no_main]

use barnabas_otlp::merge::{ResourceLabel, append, append_within};
use barnabas_otlp::message::MetricsData;
use barnabas_otlp::walk::{PushSummary, check, repair};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const LABELS: [ResourceLabel<'static>; 3] = [
    ResourceLabel { attribute: "client_id", value: "c", when_absent: false },
    ResourceLabel { attribute: "node_id", value: "1", when_absent: true },
    ResourceLabel { attribute: "", value: "", when_absent: false },
];

fuzz_target!(|bytes: &[u8]| {
    let accepts = |bytes: &[u8]| MetricsData::decode(bytes).is_ok();
    let checked = check(bytes);
    assert_eq!(matches!(checked, Ok(summary) if summary.bad_strings == 0), accepts(bytes), "{checked:?}");
    let mut repaired = bytes.to_vec();
    let strings = repair(&mut repaired);
    assert_eq!(checked.is_ok(), accepts(&repaired), "after repair, {checked:?}");

    // Never panics, whether the input was checked or not, and never exceeds a limit.
    let mut out = Vec::new();
    append(&mut out, &repaired, &LABELS);
    let mut bounded = Vec::new();
    assert_eq!(append_within(&mut bounded, &repaired, &LABELS, 64).is_ok(), out.len() <= 64);
    assert!(bounded.len() <= 64);

    let Ok(before) = checked else { return };
    assert_eq!(before.bad_strings, strings);
    assert_eq!(check(&repaired), Ok(PushSummary { bad_strings: 0, ..before }));
    let after = check(&out).expect("a valid push with labels is valid");
    assert_eq!((after.points, after.temporality), (before.points, before.temporality));
    assert!(after.resources <= before.resources);
    assert!(accepts(&out));
});
