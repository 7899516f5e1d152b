//! Decode beside bare decompression: recorded pushes through the room (decompress, check, copy out) and through a
//! reused zstd context into a reused buffer, turn by turn in one run. Prints medians and their ratio; goal: within 2.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use barnabas::admission::Admitted;
use barnabas::decode::{Decoded, Decoder};
use barnabas::push::{Codec, Push, WayIn};
use bytes::Bytes;
use zstd::zstd_safe::DCtx;

const ROUNDS: usize = 400;
/// Calls timed together, so that the clock costs nothing.
const CALLS: u32 = 50;

fn main() {
    println!("{:<24} {:>9} {:>9} {:>9} {:>9}   ns, medians", "recorded push", "bare", "+check", "ratio", "decode");
    let pushes: [(&str, &[u8]); 3] = [
        ("java-4.0-producer", include_bytes!("../../tests/vectors/java-4.0-producer-cumulative.zstd-0.bin")),
        ("java-trunk-consumer", include_bytes!("../../tests/vectors/java-trunk-consumer-cumulative.zstd-0.bin")),
        ("librdkafka-producer", include_bytes!("../../tests/vectors/librdkafka-2.16-producer-cumulative.zstd-0.bin")),
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
        way_in: WayIn::Sample,
        received_at: SystemTime::now(),
        terminating: false,
        subscription_id: None,
        codec: Codec::Zstd.id(),
        format: barnabas::push::Format::Protobuf,
        wire: Bytes::copy_from_slice(wire),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    };
    let (mut bare, mut checked, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(time(|| {
            context.decompress(&mut buffer, black_box(wire)).expect("it is a recorded push");
            buffer.len()
        }));
        checked.push(time(|| {
            context.decompress(&mut buffer, black_box(wire)).expect("it is a recorded push");
            barnabas_otlp::walk::check(black_box(&buffer)).expect("it is a recorded push").points
        }));
        whole.push(time(|| {
            let admitted = Admitted::declared(black_box(push.clone())).expect("zstd is a codec");
            match decoder.decode(admitted) {
                Ok(Decoded::Payload(payload)) => payload.points(),
                other => unreachable!("it is a recorded push: {other:?}"),
            }
        }));
    }
    let (bare, checked, whole) = (median(bare), median(checked), median(whole));
    println!("{name:<24} {bare:>9.0} {checked:>9.0} {:>9.2} {whole:>9.0}", checked / bare);
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
