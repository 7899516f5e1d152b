//! Over real sockets: peers that send false lengths, stall or flood. Only their own connection closes; others are
//! unaffected.

use super::golden::{LIBRDKAFKA_GET, PUSH_ZSTD};
use super::*;

/// The listener closes this connection with a reason that contains `reason`, and serves the next one.
#[track_caller]
fn check(bytes: &[u8], reason: &str) -> impl Future<Output = ()> {
    let (bytes, reason, place) = (bytes.to_vec(), reason.to_owned(), std::panic::Location::caller());
    async move {
        let door = KafkaListenerFixture::open().await;
        let mut other = door.connect().await;
        let mut peer = door.connect().await;
        peer.send(&bytes).await;
        assert!(peer.is_closed().await, "{place}");
        drop(peer);
        let ends = door.close_reasons(1).await;
        assert!(ends[0].contains(&reason), "{place}: {ends:?}");
        assert_eq!(error_of_push(&other.ask(&unhex(PUSH_ZSTD)).await), 0, "{place}");
        eventually(|| door.budget.in_use() == 0).await;
    }
}

#[tokio::test]
async fn frames_that_lie_about_their_length() {
    check(&[0xff, 0xff, 0xff, 0xff], "negative").await;
    check(&[0x7f, 0xff, 0xff, 0xff], "the cap is").await;
    check(&[0, 0, 0, 0], "the api key").await;
    check(&framed(&[0, 72, 0]), "the api version").await;
    // A long frame that is not a push is not read.
    check(&[&[1, 0, 0, 0][..], &[0, 3, 0, 12, 0, 0, 0, 0, 0, 0]].concat(), "the cap is").await;
}

#[tokio::test]
async fn unknown_requests_and_versions() {
    check(&request(0, 9, true, 1, b""), "API key 0").await;
    check(&request(-1, 0, false, 1, b""), "API key -1").await;
    check(&request(3, 13, true, 1, b"\x01\x00\x00\x00"), "Metadata request of version 13").await;
    check(&request(72, 1, true, 1, b""), "PushTelemetry request of version 1").await;
    check(&request(71, -1, true, 1, b""), "version -1").await;
}

#[tokio::test]
async fn truncated_bodies() {
    let whole = unhex(PUSH_ZSTD);
    check(&framed(&whole[4..whole.len() - 1]), "ends inside the tagged fields").await;
    check(&framed(&whole[4..100]), "ends inside the metrics").await;
}

#[tokio::test]
async fn counts_beyond_the_frame() {
    check(&request(3, 1, false, 1, &[0x7f, 0xff, 0xff, 0xff, 0, 0]), "announces 2147483647 entries").await;
    check(&request(3, 12, true, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), "entries").await;
    check(&request(71, 0, true, 1, &[&[0; 16][..], &[0xff, 0xff, 0x7f, 0]].concat()), "the tagged fields").await;
}

#[tokio::test]
async fn a_flood_of_unknown_tags_is_skipped() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let count = 500_000_u32;
    let mut body = vec![0; 16];
    body.extend([count as u8 | 0x80, (count >> 7) as u8 | 0x80, (count >> 14) as u8]);
    body.extend((0..count).flat_map(|i| [(i % 100) as u8, 0]));
    let answer = peer.ask(&request(71, 0, true, 3, &body)).await;
    assert_eq!((correlation(&answer), error_of_push(&answer)), (3, 0));
}

#[tokio::test]
async fn a_flood_of_topics_is_answered_within_its_bound() {
    let door = KafkaListenerFixture::with_budget(8 << 20, |_| {}).await;
    let mut peer = door.connect().await;
    let count = 500_000_u32;
    let mut body = count.to_be_bytes().to_vec();
    body.resize(4 + 2 * count as usize, 0);
    for _ in 0..3 {
        let answer = peer.ask(&request(3, 1, false, 3, &body)).await;
        assert!(answer.len() > count as usize * 8);
    }
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn client_ids_are_repaired_and_cut() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let with_id = |id: &[u8]| {
        let mut frame = vec![0, 71, 0, 0, 0, 0, 0, 1];
        frame.extend((id.len() as i16).to_be_bytes());
        frame.extend(id);
        frame.resize(frame.len() + 18, 0);
        framed(&frame)
    };
    for id in [&b"a\xffb"[..], b"", &[0xff; 30_000], "ä".repeat(700).as_bytes()] {
        assert_eq!(error_of_push(&peer.ask(&with_id(id)).await), 0);
    }
    let asked = door.intake.subscribe_calls.lock().unwrap();
    let ids: Vec<&str> = asked.iter().map(|client| client.client_id.as_deref().unwrap()).collect();
    assert_eq!(ids[..2], ["a\u{fffd}b", ""]);
    assert_eq!((ids[2].len(), ids[3].len()), (1023, 1024));
}

#[tokio::test]
async fn an_announced_frame_reserves_no_memory() {
    let door = KafkaListenerFixture::with_budget(64 << 10, |_| {}).await;
    let mut liars = Vec::new();
    for _ in 0..200 {
        let mut liar = door.connect().await;
        liar.send(&[0, 0x10, 0, 0]).await;
        liars.push(liar);
    }
    // If a whole frame or even a first chunk were reserved for each, no other client could be served before they time
    // out.
    let mut honest = door.connect().await;
    for i in 0..10 {
        assert_eq!(error_of_push(&honest.ask(&push_frame(40 << 10, i)).await), 0);
    }
    assert_eq!(door.close_reasons.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_budget_full_of_partial_frames_does_not_deadlock() {
    let door =
        KafkaListenerFixture::with_budget(64 << 10, |config| config.slow_frame = Duration::from_secs(3600)).await;
    let frame = push_frame(200 << 10, 1);
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let mut peer = door.connect().await;
        peer.send(&frame[..100 << 10]).await;
        let rest = frame[100 << 10..].to_vec();
        asking.spawn(async move { error_of_push(&peer.ask(&rest).await) });
    }
    // By now most of them hold a part and wait for the budget; they complete one by one.
    assert_eq!(asking.join_all().await, [0; 20]);
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn slow_frames_and_silent_peers_are_closed() {
    let door = KafkaListenerFixture::configured(|config| {
        config.slow_frame = Duration::from_millis(50);
        config.idle = Duration::from_millis(300);
    })
    .await;
    let mut slow = [&[0][..], &[0, 0, 0, 100], &push_frame(1 << 20, 1)[..300_000]].map(<[u8]>::to_vec);
    for bytes in &mut slow {
        let mut peer = door.connect().await;
        peer.send(bytes).await;
        assert!(peer.is_closed().await);
    }
    let mut silent = door.connect().await;
    assert_eq!(error_of_push(&silent.ask(&unhex(PUSH_ZSTD)).await), 0);
    assert!(silent.is_closed().await);
    let ends = door.close_reasons(4).await;
    assert!(ends[..3].iter().all(|end| end.contains("reading a frame")), "{ends:?}");
    assert!(ends[3].contains("no request for"), "{ends:?}");
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_answers_is_closed() {
    let door = KafkaListenerFixture::configured(|config| config.slow_frame = Duration::from_millis(200)).await;
    let mut peer = door.connect().await;
    let mut body = 100_000_u32.to_be_bytes().to_vec();
    body.resize(4 + 200_000, 0);
    let question = request(3, 1, false, 3, &body);
    // Answers of nearly a megabyte each, which are not read, until the write times out.
    let asking = async { while peer.0.write_all(&question).await.is_ok() {} };
    timeout(Duration::from_secs(60), asking).await.expect("closed");
    assert!(door.close_reasons(1).await[0].contains("writing an answer"));
}

#[tokio::test]
async fn a_peer_that_goes_away_inside_a_frame() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    peer.send(&unhex(PUSH_ZSTD)[..50]).await;
    drop(peer);
    assert_eq!(door.close_reasons(1).await, ["closed by the client inside a frame"]);
}

#[tokio::test]
async fn a_connection_flood_stops_at_the_cap() {
    let door = KafkaListenerFixture::configured(|config| config.max_connections = 20).await;
    let mut inside = Vec::new();
    for n in 0..20 {
        let mut peer = door.connect_from(&format!("127.0.0.{}", 2 + n / 5)).await;
        assert_eq!(error_of_push(&peer.ask(&unhex(LIBRDKAFKA_GET)).await), 0);
        inside.push(peer);
    }
    for _ in 0..50 {
        assert!(door.connect().await.is_closed().await);
    }
    let ends = door.close_reasons(50).await;
    assert!(ends.iter().all(|end| end == "connection limit of 20 reached"), "{ends:?}");
    for peer in &mut inside {
        assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0, "admitted connections are served");
    }
    inside.pop();
    door.close_reasons(51).await;
    let mut next = door.connect().await;
    assert_eq!(error_of_push(&next.ask(&unhex(PUSH_ZSTD)).await), 0, "and closed connections free their places");
}

#[tokio::test]
async fn a_connection_flood_from_one_source_leaves_places_for_others() {
    let door = KafkaListenerFixture::configured(|config| config.max_connections = 20).await;
    let mut inside = Vec::new();
    for _ in 0..10 {
        let mut peer = door.connect_from("127.0.0.2").await;
        assert_eq!(error_of_push(&peer.ask(&unhex(LIBRDKAFKA_GET)).await), 0, "a single source may have half");
        inside.push(peer);
    }
    for _ in 0..30 {
        assert!(door.connect_from("127.0.0.2").await.is_closed().await);
    }
    let ends = door.close_reasons(30).await;
    let words = "the source has 5 connections, its share while more than half of the connection limit is in use";
    assert!(ends.iter().all(|end| end == words), "{ends:?}");
    for n in 0..10 {
        let mut peer = door.connect_from(&format!("127.0.0.{}", 3 + n / 5)).await;
        assert_eq!(error_of_push(&peer.ask(&unhex(LIBRDKAFKA_GET)).await), 0, "other sources have their quarter");
        inside.push(peer);
    }
    for peer in &mut inside {
        assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0, "no admitted connection is closed");
    }
}

#[tokio::test]
async fn answers_before_a_violation_still_arrive() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let mut bytes = push_frame(10, 1);
    bytes.extend(request(0, 0, false, 2, b""));
    bytes.extend(vec![0xaa; 100_000]);
    peer.send(&bytes).await;
    assert_eq!(error_of_push(&peer.receive().await), 0);
    // A reset would overtake answers that are still in flight.
    assert_eq!(peer.0.read(&mut [0]).await.expect("a clean end"), 0);
}
