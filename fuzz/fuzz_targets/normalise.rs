//! Normalisation succeeds for arbitrary bytes, and for a valid push the result is valid, has no more points and is
//! unchanged by a second run. The first input byte selects the rules and the limit.
#![no_main]

use barnabas_otlp::normalise::{MetricDescription, NormaliseError, NormaliseRules, NumberedLabel, normalise};
use barnabas_otlp::walk::{check, repair};
use libfuzzer_sys::fuzz_target;

const ALL: NormaliseRules<'static> = NormaliseRules {
    resource_keys: &[("member_id", "group_member_id")],
    labels: &[NumberedLabel { from: "node.id", to: "node_id", prefix: "node-" }],
    prefixes: &[("org.apache.kafka.producer.", "org.apache.kafka.admin.client.")],
    described: Some(&[MetricDescription { name: "m", description: "A description.", unit: "ms" }]),
};
const NONE: NormaliseRules<'static> =
    NormaliseRules { resource_keys: &[], labels: &[], prefixes: &[], described: None };
const LIMITS: [usize; 3] = [usize::MAX, 4 << 10, 10];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let rules = if choice % 2 == 0 { &ALL } else { &NONE };
    let limit = LIMITS[usize::from(choice / 2) % LIMITS.len()];
    // Input that was not checked before.
    let _ = normalise(bytes, rules, limit);

    let mut repaired = bytes.to_vec();
    repair(&mut repaired);
    let Ok(before) = check(&repaired) else { return };
    let whole = normalise(&repaired, rules, usize::MAX);
    match (&whole, normalise(&repaired, rules, limit)) {
        (Ok(whole), Ok(bounded)) => assert!(bounded.len() <= limit && bounded == *whole),
        (Ok(whole), Err(why)) => assert!(why == NormaliseError::TooLong(limit) && whole.len() > limit),
        (Err(why), again) => assert_eq!(again, Err(*why)),
    }
    let Ok(out) = whole else { return };
    let after = check(&out).expect("a valid push stays valid");
    assert!(after.points <= before.points && after.resources <= before.resources && after.bad_strings == 0);
    assert_eq!(normalise(&out, rules, usize::MAX).as_ref(), Ok(&out));
});
