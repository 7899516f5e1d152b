//! At shutdown every request that was read is answered, and nothing is left.

use super::golden::PUSH_ZSTD;
use super::*;

#[tokio::test]
async fn everything_sent_before_is_answered() {
    let mut door = KafkaListenerFixture::open().await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = door.connect().await;
        peer.ask(&push_frame(10, 0)).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        let frames: Vec<u8> = (1..=10).flat_map(|i| push_frame(20_000, i)).collect();
        peer.send(&frames).await;
    }
    door.begin_shutdown();
    for peer in &mut peers {
        for expected in 1..=10 {
            assert_eq!(correlation(&peer.receive().await), expected);
        }
        assert!(peer.is_closed().await);
    }
    door.serving.await.unwrap();
    assert_eq!(door.intake.pushes.lock().unwrap().len(), 20 * 11);
    assert_eq!(door.intake.disconnected.lock().unwrap().len(), 20);
    assert!(door.close_reasons.lock().unwrap().iter().all(|end| end.contains("shutting down")));
}

#[tokio::test]
async fn a_frame_that_has_begun_is_waited_for_and_answered() {
    let mut door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    peer.ask(&push_frame(10, 0)).await;
    let frame = unhex(PUSH_ZSTD);
    peer.send(&frame[..60]).await;
    // The listener has received the first part, in the kernel at least, before its shutdown begins.
    door.begin_shutdown();
    tokio::time::sleep(Duration::from_millis(150)).await;
    peer.send(&frame[60..]).await;
    assert_eq!(error_of_push(&peer.receive().await), 0);
    assert!(peer.is_closed().await);
    door.serving.await.unwrap();
}

#[tokio::test]
async fn no_new_connection_is_accepted() {
    let mut door = KafkaListenerFixture::open().await;
    door.begin_shutdown();
    (&mut door.serving).await.unwrap();
    assert!(TcpStream::connect(door.address).await.is_err());
}

#[tokio::test]
async fn the_drain_deadline_closes_remaining_connections() {
    let mut door = KafkaListenerFixture::configured(|config| config.drain = Duration::from_millis(50)).await;
    let mut peer = door.connect().await;
    peer.ask(&push_frame(10, 0)).await;
    peer.send(&[0, 0, 1]).await;
    door.begin_shutdown();
    assert!(peer.is_closed().await);
    door.serving.await.unwrap();
    assert_eq!(door.intake.disconnected.lock().unwrap().len(), 1, "a cancelled task reports its end, too");
    assert!(door.close_reasons.lock().unwrap()[0].contains("cancelled by the drain timeout"));
}
