//! Tidying never fails for its input's sake: whatever the bytes it comes back, and what it makes of a push that passes
//! the check passes it too, has no more points and is as tidy as can be. The first input byte chooses rules and limit.
#![no_main]

use barnabas_otlp::tidy::{Described, NumberedLabel, Rules, Untidy, tidy};
use barnabas_otlp::walk::{check, repair};
use libfuzzer_sys::fuzz_target;

const ALL: Rules<'static> = Rules {
    resource_keys: &[("member_id", "group_member_id")],
    labels: &[NumberedLabel { from: "node.id", to: "node_id", prefix: "node-" }],
    prefixes: &[("org.apache.kafka.producer.", "org.apache.kafka.admin.client.")],
    described: Some(&[Described { name: "m", description: "What m is.", unit: "ms" }]),
};
const NONE: Rules<'static> = Rules { resource_keys: &[], labels: &[], prefixes: &[], described: None };
const LIMITS: [usize; 3] = [usize::MAX, 4 << 10, 10];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let rules = if choice % 2 == 0 { &ALL } else { &NONE };
    let limit = LIMITS[usize::from(choice / 2) % LIMITS.len()];
    // Nobody checked these.
    let _ = tidy(bytes, rules, limit);

    let mut mended = bytes.to_vec();
    repair(&mut mended);
    let Ok(before) = check(&mended) else { return };
    let whole = tidy(&mended, rules, usize::MAX);
    match (&whole, tidy(&mended, rules, limit)) {
        (Ok(whole), Ok(bounded)) => assert!(bounded.len() <= limit && bounded == *whole),
        (Ok(whole), Err(why)) => assert!(why == Untidy::TooLong(limit) && whole.len() > limit),
        (Err(why), again) => assert_eq!(again, Err(*why)),
    }
    let Ok(out) = whole else { return };
    let after = check(&out).expect("a sound push stays sound");
    assert!(after.points <= before.points && after.resources <= before.resources && after.bad_strings == 0);
    assert_eq!(tidy(&out, rules, usize::MAX).as_ref(), Ok(&out));
});
