//! Decode compared with plain decompression: recorded pushes through decode (decompress, check, copy out) and through a
//! reused zstd context into a reused buffer, alternately in one run. Prints medians and their ratio; the goal is below
//! 2. Also prints the check alone, and the cost of normalising the push for receivers that enable it, check included.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use barnabas_base::Codec;
use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder, NormaliseConfig, Payload};
use barnabas_pipeline::push::{Ingress, Push};
use bytes::Bytes;
use zstd::zstd_safe::DCtx;

const ROUNDS: usize = 400;
/// Calls timed together, so that reading the clock does not matter.
const CALLS: u32 = 50;

fn main() {
    let heads = ["bare", "+check", "ratio", "decode", "check", "normalise", "ratio"].map(|head| format!("{head:>9}"));
    println!("{:<24} {}   ns, medians", "recorded push", heads.join(" "));
    let pushes: [(&str, &[u8]); 3] = [
        ("java-4.0-producer", include_bytes!("../../../tests/vectors/java-4.0-producer-cumulative.zstd-0.bin")),
        ("java-trunk-consumer", include_bytes!("../../../tests/vectors/java-trunk-consumer-cumulative.zstd-0.bin")),
        (
            "librdkafka-producer",
            include_bytes!("../../../tests/vectors/librdkafka-2.16-producer-cumulative.zstd-0.bin"),
        ),
    ];
    for (name, wire) in pushes {
        measure(name, wire);
    }
}

fn measure(name: &str, wire: &[u8]) {
    let mut context = DCtx::create();
    let mut buffer = Vec::with_capacity(64 << 10);
    let decoder = Decoder::default();
    let push = Push {
        client: Arc::default(),
        ingress: Ingress::Sample,
        received_at: SystemTime::now(),
        terminating: false,
        subscription_id: None,
        codec: Codec::Zstd.id(),
        format: barnabas_pipeline::push::Format::Protobuf,
        wire: Bytes::copy_from_slice(wire),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    };
    let (mut bare, mut checked, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let (mut check, mut normalised) = (Vec::new(), Vec::new());
    let rules = NormaliseConfig::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs only this thread");
    for _ in 0..ROUNDS {
        bare.push(time(|| {
            context.decompress(&mut buffer, black_box(wire)).expect("it is a recorded push");
            buffer.len()
        }));
        checked.push(time(|| {
            context.decompress(&mut buffer, black_box(wire)).expect("it is a recorded push");
            barnabas_otlp::walk::check(black_box(&buffer)).expect("it is a recorded push").points
        }));
        whole.push(time(|| payload(&decoder, black_box(&push)).points()));
        check.push(time(|| barnabas_otlp::walk::check(black_box(&buffer)).expect("it is a recorded push").points));
        // Each payload is normalised only once, so each call needs another.
        let mut fresh: Vec<_> = (0..CALLS).map(|_| Arc::new(payload(&decoder, &push))).collect();
        normalised.push(time(|| {
            let one = fresh.pop().expect("there are as many as calls");
            let form = runtime.block_on(one.normalised(black_box(&rules))).expect("it is a recorded push");
            (one, form)
        }));
    }
    let (bare, checked, whole) = (median(bare), median(checked), median(whole));
    let (check, normalised) = (median(check), median(normalised));
    let (slower, beside) = (checked / bare, normalised / check);
    println!(
        "{name:<24} {bare:>9.0} {checked:>9.0} {slower:>9.2} {whole:>9.0} {check:>9.0} {normalised:>9.0} {beside:>9.2}"
    );
}

fn payload(decoder: &Decoder, push: &Push) -> Payload {
    let admitted = Admitted::declared(push.clone()).expect("zstd is a codec");
    match decoder.decode(admitted) {
        Ok(Decoded::Payload(payload)) => payload,
        other => unreachable!("it is a recorded push: {other:?}"),
    }
}

fn time<T>(mut call: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(call());
    }
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_nanos() as f64 / f64::from(CALLS)
}
