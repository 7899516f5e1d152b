//! Over real sockets: clients that have to authenticate.

use super::super::authentication::Authentication;
use super::golden::{JAVA_API_VERSIONS_5, LIBRDKAFKA_API_VERSIONS, LIBRDKAFKA_GET, LIBRDKAFKA_METADATA, PUSH_ZSTD};
use super::*;
use barnabas_auth::testing::{AuthFixture, ScramClient};
use barnabas_auth::{Auth, AuthSettings, SaslMechanism};

/// A listener whose clients authenticate against this fixture.
async fn with_sasl(registry: &AuthFixture, change: impl FnOnce(&mut AuthSettings)) -> KafkaListenerFixture {
    let mut settings = registry.settings();
    change(&mut settings);
    let auth = Auth::new(settings).unwrap();
    KafkaListenerFixture::configured(|config| config.auth = Some(auth)).await
}

/// The response to SaslHandshake: its error and the mechanisms.
async fn handshake(peer: &mut TestPeer, mechanism: &str) -> (i16, Vec<String>) {
    let mut body = (mechanism.len() as u16).to_be_bytes().to_vec();
    body.extend(mechanism.as_bytes());
    let answer = peer.ask(&request(17, 1, false, 5, &body)).await;
    let (error, mut rest) = (i16::from_be_bytes([answer[8], answer[9]]), &answer[14..]);
    let mut names = Vec::new();
    while let [high, low, more @ ..] = rest {
        let (name, more) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        names.push(String::from_utf8(name.to_vec()).unwrap());
        rest = more;
    }
    assert_eq!(u32::from_be_bytes(answer[10..14].try_into().unwrap()) as usize, names.len());
    (error, names)
}

/// The response to SaslAuthenticate version 1: error, message, token and lifetime.
struct SaslResponse {
    error: i16,
    message: String,
    token: Vec<u8>,
    lifetime: i64,
}

fn authenticate_frame(token: &[u8]) -> Vec<u8> {
    request(36, 1, false, 6, &[&(token.len() as u32).to_be_bytes(), token].concat())
}

async fn authenticate(peer: &mut TestPeer, token: &[u8]) -> SaslResponse {
    let answer = peer.ask(&authenticate_frame(token)).await;
    assert_eq!(correlation(&answer), 6);
    let (error, rest) = (i16::from_be_bytes([answer[8], answer[9]]), &answer[10..]);
    let len = usize::try_from(i16::from_be_bytes([rest[0], rest[1]])).unwrap_or(0);
    let (message, rest) = rest[2..].split_at(len);
    let (len, rest) = rest.split_at(4);
    let (token, rest) = rest.split_at(u32::from_be_bytes(len.try_into().unwrap()) as usize);
    let (message, token) = (String::from_utf8(message.to_vec()).unwrap(), token.to_vec());
    SaslResponse { error, message, token, lifetime: i64::from_be_bytes(rest.try_into().unwrap()) }
}

async fn log_in(peer: &mut TestPeer, mechanism: SaslMechanism, token: &[u8]) -> SaslResponse {
    assert_eq!(handshake(peer, mechanism.name()).await.0, 0);
    authenticate(peer, token).await
}

async fn log_in_by_scram(peer: &mut TestPeer, mechanism: SaslMechanism, password: &'static str) -> SaslResponse {
    let client = ScramClient::new(mechanism, "alice", password);
    let response_seen = log_in(peer, mechanism, &client.first()).await;
    assert_eq!((response_seen.error, response_seen.lifetime), (0, 0));
    let (last, signature) = client.last(&response_seen.token);
    let response_seen = authenticate(peer, &last).await;
    assert!(response_seen.error != 0 || response_seen.token == signature, "the server authenticates itself, too");
    response_seen
}

/// The client is served as alice.
async fn assert_served(door: &KafkaListenerFixture, peer: &mut TestPeer) {
    peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
    peer.ask(&unhex(LIBRDKAFKA_METADATA)).await;
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0);
    let client = door.intake.subscribe_calls.lock().unwrap().last().unwrap().clone();
    assert_eq!(client.principal.as_deref(), Some("User:alice"));
    assert_eq!(client.software_name.as_deref(), Some("confluent-kafka-python"), "sent after authentication");
    assert_eq!(door.intake.pushes.lock().unwrap().last().unwrap().0.client.principal, client.principal);
}

/// The connection closes for this reason.
async fn assert_closed(door: &KafkaListenerFixture, mut peer: TestPeer, reason: &str) {
    assert!(peer.is_closed().await);
    drop(peer);
    let ends = door.close_reasons(1).await;
    assert!(ends.last().unwrap().contains(reason), "{ends:?}");
}

#[tokio::test]
async fn conformance_01_an_authenticating_client_asks_for_versions_twice_and_is_served_as_its_principal() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    for mechanism in registry.settings().mechanisms {
        let mut peer = door.connect().await;
        // As Java does: without its software name at first.
        let versions = peer.ask(&request(18, 0, false, 1, b"")).await;
        assert_eq!(versions[13], 11, "SASL's two among them");
        let response_seen = match mechanism {
            SaslMechanism::Plain => log_in(&mut peer, mechanism, b"\0alice\0secret").await,
            SaslMechanism::OAuthBearer => log_in(&mut peer, mechanism, &registry.bearer("alice", 3600)).await,
            _ => log_in_by_scram(&mut peer, mechanism, "secret").await,
        };
        assert_eq!((response_seen.error, response_seen.message.as_str()), (0, ""), "{mechanism}");
        let lives = (1..=3_600_000).contains(&response_seen.lifetime);
        assert_eq!(lives, mechanism == SaslMechanism::OAuthBearer, "{mechanism}: {}", response_seen.lifetime);
        assert_served(&door, &mut peer).await;
    }
}

#[tokio::test]
async fn the_newest_version_is_answered_in_its_layout() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    handshake(&mut peer, "PLAIN").await;
    let answer = peer.ask(&request(36, 2, true, 8, b"\x0e\0alice\0secret\0")).await;
    assert_eq!(&answer[4..], b"\0\0\0\x08\0\0\0\0\x01\0\0\0\0\0\0\0\0\0");
    assert_served(&door, &mut peer).await;
}

#[tokio::test]
async fn a_mechanism_that_is_not_enabled() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |settings| {
        settings.mechanisms = vec![SaslMechanism::ScramSha512, SaslMechanism::Plain];
        settings.oauth = None;
    })
    .await;
    let mut peer = door.connect().await;
    for unknown in ["GSSAPI", "OAUTHBEARER", "SCRAM-SHA-256", "plain", ""] {
        let (error, names) = handshake(&mut peer, unknown).await;
        assert_eq!((error, names), (33, vec!["SCRAM-SHA-512".into(), "PLAIN".into()]), "{unknown}");
        assert_eq!(authenticate(&mut peer, b"\0alice\0secret").await.error, 34, "no attempt has begun");
    }
    assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
    assert_served(&door, &mut peer).await;
}

#[tokio::test]
async fn a_failed_authentication_is_answered_and_the_connection_closed() {
    let registry = AuthFixture::new();
    for mechanism in registry.settings().mechanisms {
        let door = with_sasl(&registry, |_| {}).await;
        let mut peer = door.connect().await;
        let (response_seen, reason) = match mechanism {
            SaslMechanism::Plain => {
                (log_in(&mut peer, mechanism, b"\0alice\0wrong").await, "invalid username or password (PLAIN)")
            }
            SaslMechanism::OAuthBearer => {
                let response_seen = log_in(&mut peer, mechanism, &registry.bearer("alice", -3600)).await;
                assert_eq!((response_seen.error, &response_seen.token[..]), (0, &br#"{"status":"invalid_token"}"#[..]));
                (authenticate(&mut peer, b"\x01").await, "the token has expired")
            }
            _ => (log_in_by_scram(&mut peer, mechanism, "wrong").await, "invalid username or password"),
        };
        assert_eq!(
            (response_seen.error, response_seen.message.as_str()),
            (58, "authentication failed"),
            "without the reason"
        );
        assert_eq!((response_seen.token.len(), response_seen.lifetime), (0, 0));
        assert_closed(&door, peer, reason).await;
        assert!(door.intake.subscribe_calls.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn requests_pipelined_after_a_failed_authentication_are_not_answered() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    handshake(&mut peer, "PLAIN").await;
    peer.send(
        &[authenticate_frame(b"\0alice\0wrong"), authenticate_frame(b"\0alice\0secret"), unhex(PUSH_ZSTD)].concat(),
    )
    .await;
    assert_eq!(i16::from_be_bytes(peer.receive().await[8..10].try_into().unwrap()), 58);
    assert_closed(&door, peer, "authentication failed").await;
    assert!(door.intake.pushes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_api_versions_is_admitted_before_authentication() {
    let registry = AuthFixture::new();
    let metadata = unhex(LIBRDKAFKA_METADATA);
    let coordinator = request(10, 0, false, 1, b"\0\x01g");
    let requests = [
        (metadata, "Metadata"),
        (coordinator, "FindCoordinator"),
        (unhex(PUSH_ZSTD), "PushTelemetry"),
        (unhex(LIBRDKAFKA_GET), "Get"),
    ];
    for (request, name) in requests {
        for handshaken in [false, true] {
            let door = with_sasl(&registry, |_| {}).await;
            let mut peer = door.connect().await;
            peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
            // Also after a version that is not supported.
            peer.ask(&unhex(JAVA_API_VERSIONS_5)).await;
            if handshaken {
                handshake(&mut peer, "PLAIN").await;
            }
            peer.send(&request).await;
            assert_closed(&door, peer, "request before authentication").await;
            assert!(door.close_reasons(1).await[0].starts_with(name));
            assert!(
                door.intake.subscribe_calls.lock().unwrap().is_empty() && door.intake.pushes.lock().unwrap().is_empty()
            );
        }
    }
}

#[tokio::test]
async fn an_oversized_push_is_not_admitted_before_authentication() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    peer.send(&push_frame(2 << 20, 1)).await;
    assert_closed(&door, peer, "PushTelemetry request before authentication").await;
    assert!(door.intake.refused.lock().unwrap().is_empty());
}

#[tokio::test]
async fn sasl_out_of_order_is_an_illegal_state() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    let response_seen = authenticate(&mut peer, b"\0alice\0secret").await;
    assert_eq!(response_seen.error, 34);
    assert!(response_seen.message.contains("must follow a SaslHandshake"), "{}", response_seen.message);
    assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
    assert_eq!(authenticate(&mut peer, b"\0alice\0secret").await.error, 34, "once for each handshake");
    assert_served(&door, &mut peer).await;
}

#[tokio::test]
async fn a_listener_without_authentication_has_no_sasl() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    assert_eq!(peer.ask(&request(18, 0, false, 1, b"")).await[13], 9, "not offered");
    assert_eq!(handshake(&mut peer, "PLAIN").await, (34, vec![]));
    assert_eq!(authenticate(&mut peer, b"\0alice\0secret").await.error, 34);
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0, "and the connection stays open");
    assert_eq!(door.intake.pushes.lock().unwrap()[0].0.client.principal, None);
}

#[tokio::test]
async fn handshake_version_0_is_offered_and_answered_unsupported() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    let versions = peer.ask(&request(18, 0, false, 1, b"")).await;
    assert!(versions.windows(6).any(|range| range == [0, 17, 0, 0, 0, 1]), "as librdkafka before 2.11.1 needs it");
    let answer = peer.ask(&request(17, 0, false, 1, b"\0\x05PLAIN")).await;
    assert_eq!(i16::from_be_bytes([answer[8], answer[9]]), 35);
    assert!(answer.windows(13).any(|name| name == b"SCRAM-SHA-512"), "the mechanisms are listed");
    assert_eq!(authenticate(&mut peer, b"\0alice\0secret").await.error, 34, "no attempt has begun");
    assert_eq!(
        log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error,
        0,
        "it continues with version 1"
    );
    assert_served(&door, &mut peer).await;
}

#[tokio::test]
async fn a_handshake_in_the_middle_of_an_exchange_ends_it() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |_| {}).await;
    let mut peer = door.connect().await;
    let client = ScramClient::new(SaslMechanism::ScramSha512, "alice", "secret");
    let response_seen = log_in(&mut peer, SaslMechanism::ScramSha512, &client.first()).await;
    assert_eq!(handshake(&mut peer, "SCRAM-SHA-512").await.0, 34);
    assert_eq!(authenticate(&mut peer, &client.last(&response_seen.token).0).await.error, 34, "the exchange has ended");
    assert_eq!(handshake(&mut peer, "PLAIN").await.0, 0);
    assert_eq!(handshake(&mut peer, "PLAIN").await.0, 34);
    assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
    assert_served(&door, &mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn an_authenticated_client_may_reauthenticate_a_second_later() {
    let registry = AuthFixture::new();
    let (mut authentication, complaints) = (Authentication::new(Some(registry.auth())), LogLimiter::default());
    let start = tokio::time::Instant::now();
    for attempt in 0..4 {
        assert_eq!(authentication.handshake(1, b"PLAIN").await.0, 0);
        let begun = start.elapsed().as_secs();
        assert_eq!(begun, attempt, "the first immediately");
        let token = bytes::Bytes::from_static(b"\0alice\0secret");
        let (reply, end) = authentication.authenticate(token, SystemTime::now(), &complaints).await.unwrap();
        assert_eq!((reply.error, end), (0, None));
    }
    // Not completing the exchange does not bypass the delay.
    let first = ScramClient::new(SaslMechanism::ScramSha256, "alice", "secret").first();
    for attempt in 4..6 {
        assert_eq!(authentication.handshake(1, b"SCRAM-SHA-256").await.0, 0);
        assert_eq!(start.elapsed().as_secs(), attempt);
        let (reply, _) =
            authentication.authenticate(first.clone().into(), SystemTime::now(), &complaints).await.unwrap();
        assert_eq!(reply.error, 0);
        assert_eq!(authentication.handshake(1, b"SCRAM-SHA-256").await.0, 34);
    }
}

#[tokio::test]
async fn the_time_limit_of_authentication_is_obeyed() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let door = KafkaListenerFixture::configured(|config| {
        config.auth = Some(auth);
        config.slow_frame = Duration::from_secs(1);
    })
    .await;
    let mut peer = door.connect().await;
    assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_served(&door, &mut peer).await;
    assert!(door.close_reasons.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_time_limit_of_authentication_is_violated() {
    let registry = AuthFixture::new();
    let auth = registry.auth();
    let door = KafkaListenerFixture::configured(|config| {
        config.auth = Some(auth);
        config.slow_frame = Duration::from_millis(200);
    })
    .await;
    let mut silent = door.connect().await;
    assert!(silent.is_closed().await, "long before it is idle");
    let mut busy = door.connect().await;
    let versions = unhex(LIBRDKAFKA_API_VERSIONS).repeat(100);
    let asking = async {
        let (mut answers, mut questions) = busy.0.split();
        let read = async { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await };
        let write = async { while questions.write_all(&versions).await.is_ok() {} };
        tokio::join!(read, write)
    };
    timeout(Duration::from_secs(60), asking).await.expect("however many requests it sends").0.ok();
    let ends = door.close_reasons(2).await;
    assert!(ends.iter().all(|end| end == "authentication timed out after 200ms"), "{ends:?}");
}

#[tokio::test]
async fn a_client_reauthenticates_as_the_same_principal() {
    let registry = AuthFixture::new();
    registry.put("bob", "secret");
    let door = with_sasl(&registry, |settings| settings.max_session = Some(Duration::from_secs(600))).await;
    let mut peer = door.connect().await;
    let response_seen = log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await;
    assert_eq!((response_seen.error, response_seen.lifetime), (0, 600_000));
    assert_served(&door, &mut peer).await;
    let response_seen = log_in(&mut peer, SaslMechanism::OAuthBearer, &registry.bearer("alice", 60)).await;
    assert!(response_seen.error == 0 && (1..=60_000).contains(&response_seen.lifetime), "the token expires first");
    assert_served(&door, &mut peer).await;

    handshake(&mut peer, "PLAIN").await;
    assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0, "until then it keeps its principal");
    let response_seen = authenticate(&mut peer, b"\0bob\0secret").await;
    assert_eq!((response_seen.error, response_seen.message.as_str()), (58, "authentication failed"));
    assert_closed(&door, peer, "reauthentication as another principal").await;
}

#[tokio::test]
async fn the_length_of_a_session_is_obeyed() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |settings| settings.max_session = Some(Duration::from_millis(1))).await;
    let mut peer = door.connect().await;
    for _ in 0..3 {
        let response_seen = log_in_by_scram(&mut peer, SaslMechanism::ScramSha256, "secret").await;
        assert_eq!((response_seen.error, response_seen.lifetime), (0, 1));
        // The session has expired by then, and the client may still reauthenticate.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_length_of_a_session_is_violated() {
    let registry = AuthFixture::new();
    for request in [LIBRDKAFKA_API_VERSIONS, LIBRDKAFKA_METADATA, PUSH_ZSTD] {
        let door = with_sasl(&registry, |settings| settings.max_session = Some(Duration::from_millis(1))).await;
        let mut peer = door.connect().await;
        assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
        tokio::time::sleep(Duration::from_millis(5)).await;
        peer.send(&unhex(request)).await;
        assert_closed(&door, peer, "request after the SASL session expired").await;
    }
}

#[tokio::test]
async fn a_delayed_failure_does_not_delay_others() {
    let registry = AuthFixture::new();
    let door = with_sasl(&registry, |settings| settings.failure_delay = Duration::from_secs(10)).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut peer = door.connect().await;
        handshake(&mut peer, "PLAIN").await;
        peer.send(&authenticate_frame(b"alice")).await;
        waiting.push(peer);
    }
    let mut peer = door.connect().await;
    assert_eq!(log_in(&mut peer, SaslMechanism::Plain, b"\0alice\0secret").await.error, 0);
    assert_served(&door, &mut peer).await;
    assert!(door.close_reasons.lock().unwrap().is_empty(), "no other client has been answered yet");
}

#[tokio::test]
async fn a_listener_without_its_files_does_not_open() {
    let registry = AuthFixture::new();
    std::fs::remove_file(registry.dir.path().join("users.toml")).unwrap();
    let mut config = KafkaListenerConfig::new("front", "127.0.0.1:0".parse().unwrap());
    config.auth = Some(registry.auth());
    let error = format!("{:#}", bind(config).await.expect_err("no users"));
    assert!(error.contains("listener `front`: cannot read the users file"), "{error}");
}
