//! The walk judges as prost does, what it repairs prost accepts, and whatever it accepts becomes a sound request with
//! labels.
#![no_main]

use barnabas_otlp::merge::{Label, append, append_within};
use barnabas_otlp::message::MetricsData;
use barnabas_otlp::walk::{Summary, check, repair};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const LABELS: [Label<'static>; 3] = [
    Label { attribute: "client_id", value: "c", when_absent: false },
    Label { attribute: "node_id", value: "1", when_absent: true },
    Label { attribute: "", value: "", when_absent: false },
];

fuzz_target!(|bytes: &[u8]| {
    let accepts = |bytes: &[u8]| MetricsData::decode(bytes).is_ok();
    let checked = check(bytes);
    assert_eq!(matches!(checked, Ok(summary) if summary.bad_strings == 0), accepts(bytes), "{checked:?}");
    let mut mended = bytes.to_vec();
    let strings = repair(&mut mended);
    assert_eq!(checked.is_ok(), accepts(&mended), "after repair, {checked:?}");

    // Never a panic, checked or not, and never beyond a limit.
    let mut out = Vec::new();
    append(&mut out, &mended, &LABELS);
    let mut bounded = Vec::new();
    assert_eq!(append_within(&mut bounded, &mended, &LABELS, 64).is_ok(), out.len() <= 64);
    assert!(bounded.len() <= 64);

    let Ok(before) = checked else { return };
    assert_eq!(before.bad_strings, strings);
    assert_eq!(check(&mended), Ok(Summary { bad_strings: 0, ..before }));
    let after = check(&out).expect("a sound push with labels is sound");
    assert_eq!((after.points, after.temporality), (before.points, before.temporality));
    assert!(after.resources <= before.resources);
    assert!(accepts(&out));
});
