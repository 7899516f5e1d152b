//! Over TLS: the same listener, and the principal of a client's certificate.

use rcgen::{DnType, DnValue};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, version};

use super::authority::{CertificateFolder, TestAuthority, orders_name};
use super::golden::{LIBRDKAFKA_API_VERSIONS, LIBRDKAFKA_GET, LIBRDKAFKA_METADATA, PUSH_ZSTD};
use super::*;

type TlsPeer = TestPeer<TlsStream<TcpStream>>;

async fn open(tls: ListenerTls) -> KafkaListenerFixture {
    KafkaListenerFixture::configured(|config| config.tls = Some(tls)).await
}

impl KafkaListenerFixture {
    async fn connect_tls(&self, client: Arc<ClientConfig>) -> std::io::Result<TlsPeer> {
        tls_over(TcpStream::connect(self.address).await.unwrap(), client).await
    }
}

async fn tls_over(stream: TcpStream, client: Arc<ClientConfig>) -> std::io::Result<TlsPeer> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(client).connect(name, stream).await.map(TestPeer)
}

/// With TLS 1.3 a client learns only later that it was refused.
async fn is_rejected(peer: std::io::Result<TlsPeer>) -> bool {
    match peer {
        Err(_) => true,
        Ok(mut peer) => {
            let asked = peer.0.write_all(&unhex(LIBRDKAFKA_GET)).await;
            asked.is_err() || peer.0.read_u8().await.is_err()
        }
    }
}

#[tokio::test]
async fn a_real_clients_requests_in_both_tls_versions() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    for versions in [[&version::TLS12], [&version::TLS13]] {
        let mut peer = door.connect_tls(authority.trusted_with(None, &versions)).await.unwrap();
        assert_eq!(correlation(&peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await), 1);
        let metadata = peer.ask(&unhex(LIBRDKAFKA_METADATA)).await;
        assert!(metadata.windows(9).any(|part| part == b"127.0.0.1"));
        let subscription = peer.ask(&unhex(LIBRDKAFKA_GET)).await;
        assert_eq!(&subscription[15..31], GIVEN.as_bytes());
        assert_eq!(error_of_push(&peer.ask(&unhex(PUSH_ZSTD)).await), 0);
        let client = door.intake.subscribe_calls.lock().unwrap().pop().unwrap();
        assert_eq!(client.principal, None);
        assert_eq!(client.source, Some(peer.0.get_ref().0.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn large_and_many_arrive_whole() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    for size in [0, 1, 100 << 10, 1 << 20] {
        assert_eq!(error_of_push(&peer.ask(&push_frame(size, 1)).await), 0);
    }
    let frames: Vec<u8> = (1..=50).flat_map(|i| push_frame(i as usize * 100, i)).collect();
    peer.send(&frames).await;
    for expected in 1..=50 {
        assert_eq!(correlation(&peer.receive().await), expected);
    }
    let too_large = peer.ask(&push_frame(2 << 20, 51)).await;
    assert_eq!((correlation(&too_large), error_of_push(&too_large)), (51, 118));
    for byte in push_frame(10, 52) {
        peer.send(&[byte]).await;
    }
    assert_eq!(correlation(&peer.receive().await), 52);
    assert_eq!(door.intake.pushes.lock().unwrap().len(), 4 + 50 + 1);
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn memory_is_set_aside_when_bytes_come() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    peer.send(&(1_i32 << 20).to_be_bytes()).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(door.budget.in_use(), 0, "a length alone reserves nothing");
    }
    peer.send(&[0]).await;
    eventually(|| door.budget.in_use() > 0).await;
    assert_eq!(door.budget.in_use(), 16 << 10, "one first chunk of the megabyte");
}

#[tokio::test]
async fn a_certificate_names_the_principal() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    for auth in [ClientAuth::Required, ClientAuth::Requested] {
        let door = open(folder.tls(auth)).await;
        let mut peer = door.connect_tls(authority.trusted_by(Some(&authority.client(orders_name())))).await.unwrap();
        peer.ask(&unhex(LIBRDKAFKA_API_VERSIONS)).await;
        peer.ask(&unhex(LIBRDKAFKA_GET)).await;
        peer.ask(&unhex(PUSH_ZSTD)).await;
        let expected = Some("User:CN=orders,OU=shop,O=Example");
        assert_eq!(door.intake.subscribe_calls.lock().unwrap()[0].principal.as_deref(), expected);
        assert_eq!(door.intake.pushes.lock().unwrap()[0].0.client.principal.as_deref(), expected);
    }
}

#[tokio::test]
async fn a_refused_sasl_request_keeps_the_certificates_principal() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::Required)).await;
    let mut peer = door.connect_tls(authority.trusted_by(Some(&authority.client(orders_name())))).await.unwrap();
    let answer = peer.ask(&request(36, 0, false, 1, b"\0\0\0\x0d\0alice\0secret")).await;
    assert_eq!(i16::from_be_bytes([answer[8], answer[9]]), 34);
    peer.ask(&unhex(PUSH_ZSTD)).await;
    let pushes = door.intake.pushes.lock().unwrap();
    assert_eq!(pushes[0].0.client.principal.as_deref(), Some("User:CN=orders,OU=shop,O=Example"));
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_held_against_the_budget() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let tls = folder.tls(ClientAuth::None);
    let door = KafkaListenerFixture::with_budget(1 << 20, |config| config.tls = Some(tls)).await;
    let mut halves = Vec::new();
    for n in 1..=4 {
        let mut peer = door.connect().await;
        peer.send(&unhex("1603010200010001fc0303")).await;
        eventually(|| door.budget.in_use() == n * (64 << 10)).await;
        halves.push(peer);
    }
    drop(halves);
    eventually(|| door.budget.in_use() == 0).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    eventually(|| door.budget.in_use() == 0).await;
}

#[tokio::test]
async fn a_required_certificate_must_be_present_and_trusted() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::Required)).await;
    assert!(is_rejected(door.connect_tls(authority.trusted_by(None)).await).await);
    let forged = TestAuthority::new().client(orders_name());
    assert!(is_rejected(door.connect_tls(authority.trusted_by(Some(&forged))).await).await);
    let ends = door.close_reasons(2).await;
    assert!(ends[0].contains("presented no certificate"), "{ends:?}");
    assert!(ends[1].contains("the client's certificate was rejected"), "{ends:?}");
    assert!(door.intake.subscribe_calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_requested_certificate_may_be_absent_and_must_be_trusted() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::Requested)).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    assert_eq!(door.intake.subscribe_calls.lock().unwrap()[0].principal, None);
    let name = vec![(DnType::CommonName, DnValue::Utf8String("admin".into()))];
    let forged = TestAuthority::new().client(name);
    assert!(is_rejected(door.connect_tls(authority.trusted_by(Some(&forged))).await).await);
    assert!(door.close_reasons(1).await[0].contains("was rejected"));
}

#[tokio::test]
async fn renewed_files_serve_new_connections_and_old_ones_stay() {
    let (first, second) = (TestAuthority::new(), TestAuthority::new());
    let folder = CertificateFolder::new(&first);
    let door = open(folder.tls(ClientAuth::Required)).await;
    let (before, after) = (first.client(orders_name()), second.client(orders_name()));
    let mut old = door.connect_tls(first.trusted_by(Some(&before))).await.unwrap();
    old.ask(&unhex(LIBRDKAFKA_GET)).await;
    folder.put(&second);
    let renewed = async {
        loop {
            if let Ok(peer) = door.connect_tls(second.trusted_by(Some(&after))).await {
                break peer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut new = timeout(Duration::from_secs(60), renewed).await.expect("the new files are in use");
    new.ask(&unhex(LIBRDKAFKA_GET)).await;
    old.ask(&unhex(LIBRDKAFKA_GET)).await;
    assert!(
        is_rejected(door.connect_tls(second.trusted_by(Some(&before))).await).await,
        "signed by the previous authority"
    );
}

#[tokio::test]
async fn non_tls_bytes_and_failed_handshakes_are_distinguished() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    for (bytes, words) in [
        (unhex("7fffffff"), "the first bytes are not TLS, which this listener requires"),
        (unhex("16030100050100000100ff"), "handshake failed"),
    ] {
        door.close_reasons.lock().unwrap().clear();
        let mut peer = door.connect().await;
        peer.send(&bytes).await;
        let mut rest = Vec::new();
        let _ = peer.0.read_to_end(&mut rest).await;
        let ends = door.close_reasons(1).await;
        assert!(ends[0].contains(words), "{ends:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_reported() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    let door = open(folder.tls(ClientAuth::None)).await;
    assert!(door.connect_tls(TestAuthority::new().trusted_by(None)).await.is_err());
    let ends = door.close_reasons(1).await;
    assert!(ends[0].contains("check that the client trusts this listener's certificate"), "{ends:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_not_waited_for() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    let door = KafkaListenerFixture::configured(|config| {
        config.tls = Some(folder.tls(ClientAuth::None));
        config.slow_frame = Duration::from_millis(50);
    })
    .await;
    let (mut silent, mut slow) = (door.connect().await, door.connect().await);
    slow.send(&[0x16, 3, 1]).await;
    assert!(silent.is_closed().await && slow.is_closed().await);
    let ends = door.close_reasons(2).await;
    assert!(ends.iter().all(|end| end.contains("timed out after")), "{ends:?}");
    assert_eq!(door.intake.disconnected.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn behind_a_balancer_the_header_comes_first() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = KafkaListenerFixture::configured(|config| {
        config.tls = Some(folder.tls(ClientAuth::Required));
        config.proxies = Some(TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap());
    })
    .await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    stream.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::9 51234 9093\r\n").await.unwrap();
    let mut peer = tls_over(stream, authority.trusted_by(Some(&authority.client(orders_name())))).await.unwrap();
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    let client = door.intake.subscribe_calls.lock().unwrap()[0].clone();
    assert_eq!(client.source, Some("[2001:db8::7]:51234".parse().unwrap()));
    assert_eq!(client.principal.as_deref(), Some("User:CN=orders,OU=shop,O=Example"));
}

#[tokio::test]
async fn shutdown_answers_what_was_read_and_sends_close_notify() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let mut door = open(folder.tls(ClientAuth::None)).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    peer.ask(&push_frame(10, 0)).await;
    let frames: Vec<u8> = (1..=10).flat_map(|i| push_frame(20_000, i)).collect();
    peer.send(&frames).await;
    door.begin_shutdown();
    for expected in 1..=10 {
        assert_eq!(correlation(&peer.receive().await), expected);
    }
    // Without close_notify this would be an error.
    assert_eq!(peer.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    door.serving.await.unwrap();
}

#[tokio::test]
async fn a_violation_also_ends_with_close_notify() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    let mut peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    peer.send(&[0xff; 4]).await;
    assert_eq!(peer.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert!(door.close_reasons(1).await[0].contains("negative"));
}

#[tokio::test]
async fn a_close_without_close_notify_is_not_an_error() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let door = open(folder.tls(ClientAuth::None)).await;
    let peer = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    drop(peer.0);
    let mut polite = door.connect_tls(authority.trusted_by(None)).await.unwrap();
    polite.0.shutdown().await.unwrap();
    assert_eq!(door.close_reasons(2).await, ["closed by the client"; 2]);
}

#[test]
fn settings_without_effect_are_refused() {
    let mut config = KafkaListenerConfig::new("front", "0.0.0.0:9093".parse().unwrap());
    let tls = |client_ca: Option<&str>, client_auth| {
        let client_ca = client_ca.map(Into::into);
        Some(ListenerTls { certificate: "cert.pem".into(), key: "key.pem".into(), client_ca, client_auth })
    };
    for (ca, auth, good) in [
        (None, ClientAuth::None, true),
        (Some("ca.pem"), ClientAuth::Required, true),
        (Some("ca.pem"), ClientAuth::None, false),
        (None, ClientAuth::Requested, false),
        (None, ClientAuth::Required, false),
    ] {
        config.tls = tls(ca, auth);
        assert_eq!(config.check().is_ok(), good, "{:?}", config.check());
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_anything_is_bound() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    std::fs::remove_file(folder.path("key.pem")).unwrap();
    let mut config = KafkaListenerConfig::new("front", "127.0.0.1:0".parse().unwrap());
    config.tls = Some(folder.tls(ClientAuth::None));
    let words = bind(config).await.expect_err("no key").to_string();
    assert!(words.contains("front") && words.contains("key.pem"), "{words}");
}
