//! Which thread decodes a push: the listener's own thread decodes light ones only, with the real intake behind the
//! listener.

use std::thread::{self, ThreadId};

use super::*;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::Admission;
use barnabas_pipeline::decode::{Decoder, LIGHT_BYTES};
use barnabas_pipeline::dispatch::Dispatch;
use barnabas_pipeline::intake::IntakePipeline;

/// The threads on which pushes completed, in order.
pub(crate) type Threads = Arc<Mutex<Vec<ThreadId>>>;

pub(crate) fn real_reception(admission: Arc<Admission>) -> (Arc<IntakePipeline>, Threads, ListenerGuard) {
    let (events, threads) = (Events::new(), Threads::default());
    let noted = threads.clone();
    let ends = [Topic::PushAccepted, Topic::PushUnwanted, Topic::PushEmpty, Topic::PushRefused];
    let listening = events.listen(&ends, move |_| noted.lock().unwrap().push(thread::current().id()));
    let reception = IntakePipeline::new(admission, Decoder::default(), Dispatch::new(events.clone()), events);
    (Arc::new(reception), threads, listening)
}

/// How many were decoded on this thread, on which the listener of a test runs, and how many elsewhere.
pub(crate) fn on_this_thread_and_elsewhere(threads: &Threads) -> (usize, usize) {
    let threads = std::mem::take(&mut *threads.lock().unwrap());
    let here = threads.iter().filter(|id| **id == thread::current().id()).count();
    (here, threads.len() - here)
}

/// Each recorded push, with its codec.
pub(crate) fn recorded() -> Vec<(Codec, Vec<u8>)> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors")).unwrap();
    let paths = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "bin"));
    let codec = |name: &str| {
        let all = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        all.into_iter().find(|codec| name.contains(&format!(".{codec}-"))).unwrap()
    };
    paths.map(|path| (codec(path.to_str().unwrap()), std::fs::read(&path).unwrap())).collect()
}

/// Pushes of less than 128 KiB that decompress to nearly 16 MiB of metrics, padded so that their ratio stays below the
/// limit.
pub(crate) fn highly_compressed() -> [(Codec, Vec<u8>); 2] {
    const PADDING: usize = 100 << 10;
    let (_, one) = recorded().into_iter().find(|(codec, _)| *codec == Codec::None).unwrap();
    let many = one.repeat((16 << 20) / one.len());
    // A skippable frame (RFC 8878, section 3.1.2).
    let skipped = [&b"\x50\x2a\x4d\x18"[..], &(PADDING as u32).to_le_bytes(), &[0; PADDING]].concat();
    let zstd = [skipped, ::zstd::encode_all(&many[..], 3).unwrap()].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &many).unwrap();
    // What follows the last member is ignored.
    let mut gzip = gzip.finish().unwrap();
    gzip.resize(gzip.len().max(PADDING), 0);
    assert!(zstd.len() < 128 << 10 && gzip.len() < 128 << 10);
    [(Codec::Zstd, zstd), (Codec::Gzip, gzip)]
}

/// A push of a client that has just requested its subscription, each on its own connection.
async fn push(door: &KafkaListenerFixture, codec: Codec, wire: &[u8]) -> i16 {
    let mut peer = door.connect().await;
    let response_seen = peer.ask(&request(71, 0, true, 1, &[0; 17])).await;
    assert_eq!(error_of_push(&response_seen), 0);
    // The client instance id and the subscription id.
    let mut body = response_seen[15..35].to_vec();
    body.extend([0, codec.id() as u8]);
    let mut len = wire.len() + 1;
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.extend(wire);
    body.push(0);
    error_of_push(&peer.ask(&request(72, 0, true, 2, &body)).await)
}

#[tokio::test]
async fn only_light_pushes_are_decoded_on_the_listener_threads() {
    let admission = Arc::new(Admission::new(admission::AdmissionConfig::default()));
    let book = Subscriptions::open(testing::setup(&admission)).unwrap();
    let (reception, threads, _listening) = real_reception(admission);
    let door =
        KafkaListenerFixture::with_intake(reception, Arc::default(), book, ByteBudget::DEFAULT_BYTES, |_| {}).await;
    let recorded = recorded();
    for (codec, wire) in &recorded {
        assert_eq!(push(&door, *codec, wire).await, 0, "{codec}");
    }
    assert_eq!(on_this_thread_and_elsewhere(&threads), (recorded.len(), 0));
    for (codec, wire) in highly_compressed() {
        assert_eq!(push(&door, codec, &wire).await, 0, "{codec}");
    }
    assert_eq!(on_this_thread_and_elsewhere(&threads), (0, 2));
    // A refusal that takes long to determine comes from another thread, too.
    assert_eq!(push(&door, Codec::None, &vec![0; LIGHT_BYTES + 1]).await, 87);
    assert_eq!(on_this_thread_and_elsewhere(&threads), (0, 1));
    assert_eq!(push(&door, Codec::None, &[0; 10]).await, 87);
    assert_eq!(on_this_thread_and_elsewhere(&threads), (1, 0));
}
