//! Over real sockets: what well-behaved clients get.

use super::golden::{JAVA_API_VERSIONS_5, LIBRDKAFKA_API_VERSIONS, LIBRDKAFKA_GET, LIBRDKAFKA_METADATA, PUSH_ZSTD};
use super::*;

#[tokio::test]
async fn a_real_clients_requests() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let versions = peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
    assert_eq!((correlation(&versions), versions[10]), (1, 10), "nine keys");
    let metadata = peer.ask(&unhex(LIBRDKAFKA_METADATA)).await;
    assert!(metadata.windows(9).any(|part| part == b"127.0.0.1"));
    assert!(metadata.windows(4).any(|part| part == u32::from(door.address.port()).to_be_bytes()));
    let subscription = peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    assert_eq!(&subscription[15..31], GIVEN.as_bytes());
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0);

    let client = door.intake.subscribe_calls.lock().unwrap()[0].clone();
    assert_eq!(client.instance_id, None, "it had none yet");
    assert_eq!(client.client_id.as_deref(), Some("cl-producer"));
    assert_eq!(client.software_name.as_deref(), Some("confluent-kafka-python"));
    assert_eq!(client.software_version.as_deref(), Some("2.16.1-rdkafka-2.16.0"));
    assert_eq!(client.listener.as_deref(), Some("test"));
    assert_eq!(client.source, Some(peer.0.local_addr().unwrap()));
    assert_eq!(client.principal, None);
    let (push, _) = door.intake.pushes.lock().unwrap()[0].clone();
    assert_eq!((push.wire.len(), push.codec, push.subscription_id), (163, 4, Some(0x1234_5678)));
    assert_eq!((push.node_id, push.ingress.as_str(), push.terminating), (Some(1), "kafka", false));
    assert_eq!(push.client.software_name, client.software_name, "what was sent once holds for later requests");
    assert!(push.client.instance_id.is_some());
    eventually(|| door.served.lock().unwrap().len() == 4).await;
    assert_eq!(door.served.lock().unwrap()[3], ("PushTelemetry", 0));
}

#[tokio::test]
async fn conformance_01_a_version_of_the_future_is_answered_and_the_client_asks_again() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let answer = peer.ask(&unhex(JAVA_API_VERSIONS_5)).await;
    assert_eq!(answer, unhex("0000001000000000002300000001001200000004"));
    let answer = peer.ask(&request(18, 4, true, 9, b"\x05java\x044.5\x00")).await;
    assert_eq!((correlation(&answer), &answer[8..10]), (9, &[0, 0][..]));
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    let asked = door.intake.subscribe_calls.lock().unwrap();
    assert_eq!(asked[0].software_name.as_deref(), Some("java"));
}

#[tokio::test]
async fn software_that_breaks_the_rule_is_unknown_and_served() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let answer = peer.ask(&request(18, 3, true, 1, b"\x05java\x11refs/heads/x-src\x00")).await;
    assert_eq!(&answer[8..10], &[0, 0]);
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    let asked = door.intake.subscribe_calls.lock().unwrap();
    assert_eq!(asked[0].software_name.as_deref(), Some("java"));
    assert_eq!(asked[0].software_version, None);
}

#[tokio::test]
async fn conformance_02_telemetry_is_offered_only_with_a_receiver_and_answered_always() {
    let door = KafkaListenerFixture::open().await;
    door.intake.no_receiver.store(true, Ordering::Relaxed);
    let mut peer = door.connect().await;
    let versions = peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
    assert_eq!(versions[10], 8, "seven keys");
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0);
    door.intake.no_receiver.store(false, Ordering::Relaxed);
    let versions = peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
    assert_eq!(versions[10], 10, "asked again, all nine");
}

#[tokio::test]
async fn a_client_excluded_from_telemetry_is_not_offered_it_and_still_answered() {
    let door = KafkaListenerFixture::open().await;
    *door.intake.not_offered.lock().unwrap() = Some("confluent-kafka-python".into());
    let mut peer = door.connect().await;
    let versions = peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
    assert_eq!(versions[10], 8, "seven keys: this request already names the software");
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0);
    *door.intake.not_offered.lock().unwrap() = Some("another".into());
    assert_eq!(peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await[10], 10);
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    for (refusal, code) in [
        (Refusal::InvalidRequest("x"), 42),
        (Refusal::UnknownSubscription { given: 1, current: 2 }, 117),
        (Refusal::TooSoon { interval_ms: 1 }, 89),
        (Refusal::OverQuota { scope: "one source", resource: "pushes", per_minute: 1, setting: "limits.source" }, 89),
        (Refusal::UnsupportedCodec(9), 76),
        (Refusal::TooLarge("x".into()), 118),
        (Refusal::InvalidRecord("x".into()), 87),
    ] {
        *door.intake.refusal.lock().unwrap() = Some(refusal);
        assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), code);
        let answer = peer.ask(&unhex(LIBRDKAFKA_GET)).await;
        assert_eq!(error_of_push(&answer), code, "the same place in both");
        assert_eq!(answer.len(), 4 + 5 + 4 + 2 + 16 + 4 + 1 + 4 + 4 + 1 + 1 + 1);
        assert_eq!(answer[15..35], [0; 20]);
    }
}

#[tokio::test]
async fn a_panic_in_the_intake_does_not_close_the_connection() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    door.intake.panics.store(true, Ordering::Relaxed);
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 89);
    assert_eq!(error_of_push(&peer.ask(&push_frame(200 << 10, 1)).await), 89);
    assert_eq!(error_of_push(&peer.ask(&unhex(LIBRDKAFKA_GET)).await), 89);
    assert_eq!(error_of_push(&peer.ask(&push_frame(3 << 20, 2)).await), 118, "which is correct in any case");
    door.intake.panics.store(false, Ordering::Relaxed);
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0, "the connection stays open");
}

#[tokio::test]
async fn an_oversized_push_is_attributed_by_its_first_bytes() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let long = |id_len: usize, tags: usize| {
        let mut frame = vec![0, 72, 0, 0, 0, 0, 0, 1];
        frame.extend(u16::try_from(id_len).unwrap().to_be_bytes());
        frame.resize(frame.len() + id_len, b'c');
        frame.push(tags as u8);
        (0..tags).for_each(|_| frame.extend([9, 1, 0]));
        frame.extend(GIVEN.as_bytes());
        frame.resize(2 << 20, 0);
        framed(&frame)
    };
    for (frame, of) in [
        (long(4, 0), Some(GIVEN)),
        (long(1024, 100), Some(GIVEN)),
        (long((4 << 10) - 27, 0), Some(GIVEN)),
        (long((4 << 10) - 26, 0), None),
        (long(32_000, 0), None),
    ] {
        assert_eq!(error_of_push(&peer.ask(&frame).await), 118);
        let (wire, client, _) = door.intake.refused.lock().unwrap().pop().unwrap();
        assert_eq!((wire, client.instance_id), (2 << 20, of));
    }
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn large_pushes_arrive_whole() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    for size in [0, 1, 100 << 10, 200 << 10, 1 << 20] {
        assert_eq!(error_of_push(&peer.ask(&push_frame(size, 1)).await), 0);
    }
    let sizes: Vec<usize> = door.intake.pushes.lock().unwrap().iter().map(|(push, _)| push.wire.len()).collect();
    assert_eq!(sizes, [0, 1, 100 << 10, 200 << 10, 1 << 20]);
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn a_push_above_the_cap_is_too_large_and_the_client_stays() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    for correlation in 1..4 {
        let answer = peer.ask(&push_frame(3 << 20, correlation)).await;
        assert_eq!((super::correlation(&answer), error_of_push(&answer)), (correlation, 118));
    }
    assert_eq!(error_of_push(&peer.ask(&push_frame(10, 9)).await), 0);
    assert_eq!(door.intake.pushes.lock().unwrap().len(), 1);
    let refused = door.intake.refused.lock().unwrap();
    assert_eq!(refused.len(), 3);
    for (wire, client, refusal) in refused.iter() {
        assert!(*wire > 3 << 20 && refusal.code() == "too_large", "{refused:?}");
        assert_eq!((client.instance_id, client.client_id.as_deref()), (Some(GIVEN), Some("test")), "whose it is");
    }
}

#[tokio::test]
async fn a_small_push_does_not_keep_a_large_frame() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let mut frame = push_frame(10, 1);
    // An unknown tag of half a megabyte instead of no tags.
    frame.pop();
    frame.extend([1, 0x7f, 0x80, 0x80, 0x20]);
    frame.resize(frame.len() + (512 << 10), 0);
    let len = u32::try_from(frame.len() - 4).unwrap();
    frame.splice(..4, len.to_be_bytes());
    assert_eq!(error_of_push(&peer.ask(&frame).await), 0);
    let pushes = door.intake.pushes.lock().unwrap();
    let wire = pushes.first().map(|(push, _)| push.wire.clone()).unwrap();
    drop(pushes);
    door.intake.pushes.lock().unwrap().clear();
    // If it owns its buffer alone, the buffer can be taken without a copy; otherwise it would be a slice of the whole
    // frame.
    assert_eq!(wire.try_into_mut().map(|buffer| buffer.capacity()), Ok(10));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    // Two in three are small and decoded in place; the third is decoded on another thread.
    let sizes = [10, 10, 150 << 10];
    for round in 0..30 {
        let frames: Vec<u8> = (0..3).flat_map(|i| push_frame(sizes[i as usize], round * 3 + i)).collect();
        peer.send(&frames).await;
    }
    for expected in 0..90 {
        assert_eq!(correlation(&peer.receive().await), expected);
    }
}

/// librdkafka 2.12 requests all topics with a null array of four bytes, so that three zero bytes are left over.
#[tokio::test]
async fn bytes_after_a_body_are_ignored() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let all_topics = request(3, 12, true, 7, &[0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(correlation(&peer.ask(&all_topics).await), 7);
    assert_eq!(correlation(&peer.ask(&push_frame(10, 8)).await), 8, "the connection stays open");
}

#[tokio::test]
async fn two_instances_share_a_connection() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    let mut other = push_frame(5, 2);
    let id = other.windows(16).position(|part| part == GIVEN.as_bytes()).unwrap();
    other[id] ^= 0xff;
    for frame in [&push_frame(5, 1), &other, &push_frame(5, 3)] {
        peer.ask(frame).await;
    }
    let pushes = door.intake.pushes.lock().unwrap();
    let [first, second, third] = [0, 1, 2].map(|i| pushes[i].0.client.instance_id);
    assert_eq!(first, third);
    assert_ne!(first, second);
    assert!(pushes.iter().all(|(_, connection)| *connection == pushes[0].1));
}

#[tokio::test]
async fn every_close_is_reported() {
    let door = KafkaListenerFixture::open().await;
    for _ in 0..3 {
        door.connect().await.ask(&push_frame(5, 1)).await;
    }
    assert_eq!(door.close_reasons(3).await, ["closed by the client"; 3]);
    let mut gone = door.intake.disconnected.lock().unwrap().clone();
    gone.dedup();
    assert_eq!(gone.len(), 3);
}

#[tokio::test]
async fn the_advertised_address_is_in_metadata() {
    let door = KafkaListenerFixture::configured(|config| {
        config.advertised = Some(("push.example".into(), 4242));
        config.node_id = 7;
        config.cluster_id = "of-many".into();
    })
    .await;
    let answer = door.connect().await.ask(&unhex(LIBRDKAFKA_METADATA)).await;
    for part in [&b"\x00\x00\x00\x07\x0dpush.example\x00\x00\x10\x92"[..], b"\x08of-many\x00\x00\x00\x07"] {
        assert!(answer.windows(part.len()).any(|there| there == part));
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_the_listeners_name() {
    let good = KafkaListenerConfig::new("front", "0.0.0.0:9092".parse().unwrap());
    assert_eq!(good.check(), Ok(()));
    let wrong: [fn(&mut KafkaListenerConfig); 8] = [
        |config| config.name = "".into(),
        |config| config.node_id = -1,
        |config| config.cluster_id = "".into(),
        |config| config.max_frame = 0,
        |config| config.max_connections = 0,
        |config| config.idle = Duration::ZERO,
        |config| config.advertised = Some(("localhost".into(), 9092)),
        |config| config.advertised = Some(("0.0.0.0".into(), 9092)),
    ];
    for change in wrong {
        let mut config = good.clone();
        change(&mut config);
        let words = config.check().expect_err("wrong");
        assert!(words.contains("front") || words.contains("no name"), "{words}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let door = KafkaListenerFixture::open().await;
    let error = bind(KafkaListenerConfig::new("second", door.address)).await.expect_err("in use");
    let words = format!("{error:#}");
    assert!(words.contains("second") && words.contains(&door.address.to_string()), "{words}");
}

#[tokio::test]
async fn a_silent_connection_costs_little_memory() {
    let door = KafkaListenerFixture::open().await;
    let peer = door.connect().await;
    let address = peer.0.local_addr().unwrap();
    let shared = Arc::new(ListenerContext {
        config: KafkaListenerConfig::new("test", address),
        local: door.address,
        certificates: None,
        intake: door.intake.clone(),
        budget: door.budget.clone(),
        events: Events::new(),
        subscriptions: door.subscriptions.clone(),
        log_limiter: LogLimiter::default(),
        connection_limit: ConnectionLimit::new(1),
    });
    let presence = ConnectionGuard::open(&shared, ConnectionId::next(), address);
    let task = serve_connection(peer.0, presence, watch::channel(false).1);
    let bytes = size_of_val(&task);
    assert!(bytes <= 4096, "ten thousand of {bytes} bytes each");
}
