//! Tests against real sockets on loopback, with a fake resolver.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{Empty, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::*;
use barnabas_pipeline::event::{EventData, Topic};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that records each request and sends the same response to all of them, also several on one connection.
struct TestServer {
    at: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    closed: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestServer {
    async fn start(answer: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (heard, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let closed = Arc::new(Semaphore::new(0));
        let (log, count, ends) = (heard.clone(), connections.clone(), closed.clone());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (log, tls, ends) = (log.clone(), tls.clone(), ends.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(tcp, answer, &log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                converse(stream, answer, &log).await;
                            }
                        }
                    }
                    ends.add_permits(1);
                });
            }
        });
        Self { at, requests: heard, connections, closed, task }
    }

    async fn plain(answer: &'static str) -> Self {
        Self::start(answer, None).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/v1/metrics?a=b", self.at.port())
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, log: &Mutex<Vec<String>>) {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        text.push_str(&String::from_utf8_lossy(&chunk[..n]));
        if is_complete(&text) {
            log.lock().unwrap().push(std::mem::take(&mut text));
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

use tokio::io::{AsyncRead, AsyncWrite};

fn is_complete(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |l| l.parse().unwrap())
}

/// A resolver with a fixed table, which counts its calls.
#[derive(Default)]
struct TableResolver(HashMap<&'static str, Vec<IpAddr>>, Arc<AtomicUsize>);

impl Resolve for TableResolver {
    fn resolve(&self, host: &str) -> Lookup {
        self.1.fetch_add(1, Ordering::SeqCst);
        let found = self.0.get(host).cloned().ok_or_else(|| io::Error::other("no such name"));
        Box::pin(async move { found })
    }
}

fn table_resolver(entries: &[(&'static str, &[&str])]) -> Arc<dyn Resolve> {
    let table = entries.iter().map(|(name, ips)| (*name, ips.iter().map(|ip| ip.parse().unwrap()).collect()));
    Arc::new(TableResolver(table.collect(), Arc::default()))
}

fn grants(http: &[String], addresses: &[&str]) -> Arc<Grants> {
    Arc::new(Grants::parse(http, &addresses.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap())
}

fn egress(grants: Arc<Grants>, options: EgressOptions) -> Egress {
    Egress::with_options("p".into(), grants, EgressMode::Send, Events::new(), options)
}

fn get(url: &str) -> Request<RequestBody> {
    Request::get(url).body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
}

fn post(url: &str, body: &'static str) -> Request<RequestBody> {
    Request::post(url).body(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

async fn text(response: Response<ResponseBody>) -> Result<String, EgressError> {
    Ok(String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned())
}

/// Timeouts that are short enough for a test that expects a timeout.
fn short_timeouts() -> EgressTimeouts {
    let soon = Some(Duration::from_millis(50));
    EgressTimeouts { connect: Some(Duration::from_secs(10)), first_byte: soon, between_bytes: soon }
}

#[tokio::test]
async fn a_granted_request_arrives_with_its_host_header_and_the_connection_is_used_again() {
    let server = TestServer::plain(OK).await;
    let egress = egress(
        grants(&[format!("localhost:{}", server.at.port())], &[]),
        EgressOptions { resolve: table_resolver(&[("localhost", &["127.0.0.1"])]), ..EgressOptions::default() },
    );
    for _ in 0..2 {
        let response = egress.send(post(&server.url("localhost"), "hello"), EgressTimeouts::default()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    let heard = server.requests();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("POST /v1/metrics?a=b HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].contains(&format!("host: localhost:{}\r\n", server.at.port())), "{}", heard[0]);
    assert!(heard[0].ends_with("\r\n\r\nhello"), "{}", heard[0]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection was reused");
}

#[tokio::test]
async fn a_forged_host_header_is_replaced() {
    let server = TestServer::plain(OK).await;
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions::default());
    let mut request = get(&server.url("127.0.0.1"));
    request.headers_mut().insert(HOST, HeaderValue::from_static("elsewhere.example"));
    egress.send(request, EgressTimeouts::default()).await.unwrap();
    assert!(server.requests()[0].contains(&format!("host: {}\r\n", server.at)), "{:?}", server.requests());
}

#[tokio::test]
async fn what_is_not_granted_is_refused_before_its_name_is_looked_up() {
    let asked = Arc::<AtomicUsize>::default();
    let resolve = Arc::new(TableResolver(HashMap::new(), asked.clone()));
    let egress =
        egress(grants(&["granted.example:80".into()], &[]), EgressOptions { resolve, ..EgressOptions::default() });
    for url in ["http://other.example/", "http://granted.example:81/", "https://granted.example/", "http://10.0.0.1/"] {
        let error = egress.send(get(url), EgressTimeouts::default()).await.expect_err(url);
        assert!(matches!(error, EgressError::NotGranted { .. }), "{url}: {error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let error = egress.send(get("http://granted.example/"), EgressTimeouts::default()).await.expect_err("unknown name");
    assert_eq!(error, EgressError::Dns { host: "granted.example".into(), reason: "no such name".into() });
}

#[tokio::test]
async fn uris_that_mislead_and_tunnels_are_refused() {
    let egress = egress(grants(&["granted.example:80".into()], &[]), EgressOptions::default());
    for url in ["http://granted.example@127.0.0.1/", "http://user:pw@granted.example/", "/only/a/path"] {
        let error = egress.send(get(url), EgressTimeouts::default()).await.expect_err(url);
        assert_eq!(error, EgressError::InvalidUri, "{url}");
    }
    let mut tunnel = get("http://granted.example/");
    *tunnel.method_mut() = Method::CONNECT;
    assert_eq!(
        egress.send(tunnel, EgressTimeouts::default()).await.expect_err("a tunnel"),
        EgressError::ForbiddenMethod
    );
}

#[tokio::test]
async fn a_granted_name_at_a_private_address_is_not_dialled() {
    let server = TestServer::plain(OK).await;
    let port = server.at.port();
    let all = ["loopback", "mapped", "translated", "metadata", "private"].map(|n| format!("{n}.example:{port}"));
    let resolve = table_resolver(&[
        ("loopback.example", &["127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("translated.example", &["64:ff9b::7f00:1"]),
        ("metadata.example", &["169.254.169.254", "fd00:ec2::254"]),
        ("private.example", &["10.0.0.1", "192.168.1.1", "fd12::1"]),
    ]);
    let egress = egress(grants(&all, &[]), EgressOptions { resolve, ..EgressOptions::default() });
    for name in all {
        let error = egress.send(get(&format!("http://{name}/")), EgressTimeouts::default()).await.expect_err(&name);
        assert!(matches!(error, EgressError::Prohibited { .. }), "{name}: {error}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_admin_endpoint_is_never_dialled_whatever_is_granted() {
    let admin = TestServer::plain(OK).await;
    let port = admin.at.port();
    let resolve = table_resolver(&[("renamed.example", &["127.0.0.1"]), ("mapped.example", &["::ffff:127.0.0.1"])]);
    for bound in [admin.at, SocketAddr::from(([0, 0, 0, 0], port))] {
        let options = EgressOptions {
            resolve: resolve.clone(),
            self_addresses: SelfAddresses::new(&[bound], &[]),
            ..EgressOptions::default()
        };
        let egress = egress(Arc::new(Grants::everything()), options);
        for host in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "renamed.example", "mapped.example"] {
            let error =
                egress.send(get(&format!("http://{host}:{port}/")), EgressTimeouts::default()).await.expect_err(host);
            assert!(matches!(error, EgressError::OwnAdminEndpoint { .. }), "{host}: {error}");
            assert!(matches!(error.into(), wasmtime_wasi_http::Error::DestinationIpProhibited), "what the guest sees");
        }
    }
    assert_eq!(admin.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_listener_of_the_host_is_dialled_only_with_the_grant_own_listeners() {
    let listener = TestServer::plain(OK).await;
    let port = listener.at.port();
    let names = table_resolver(&[
        ("localhost", &["127.0.0.1"]),
        ("renamed.example", &["127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
    ]);
    let hosts = ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "localhost", "renamed.example", "mapped.example"];
    let granted = hosts.map(|host| format!("{host}:{port}"));
    for bound in [listener.at, SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0; 8], port))] {
        let self_addresses = SelfAddresses::new(&[], &[bound]);
        let options = EgressOptions { resolve: names.clone(), self_addresses, ..EgressOptions::default() };
        let without = egress(grants(&granted, &["127.0.0.0/8"]), options);
        for host in hosts {
            let error =
                without.send(get(&format!("http://{host}:{port}/")), EgressTimeouts::default()).await.expect_err(host);
            assert!(matches!(error, EgressError::OwnListener { .. }), "{host}: {error}");
            let denial = without.end_call().expect("the denial is reported");
            assert!(
                denial.contains("is a listener of this host") && denial.contains("`own-listeners = true`"),
                "{denial}"
            );
        }
        assert_eq!(listener.connections.load(Ordering::SeqCst), 0);
    }
    let self_addresses = SelfAddresses::new(&[], &[listener.at]);
    let both = Arc::new(Grants::parse(&granted, &[]).unwrap().with_own_listeners(true));
    let with = egress(both, EgressOptions { self_addresses: self_addresses.clone(), ..EgressOptions::default() });
    assert_eq!(with.send(get(&listener.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap().status(), 200);
    let not_by_name = Arc::new(Grants::parse(&["sink.example:1".into()], &[]).unwrap().with_own_listeners(true));
    let word_only = egress(not_by_name, EgressOptions { self_addresses, ..EgressOptions::default() });
    let error =
        word_only.send(get(&listener.url("127.0.0.1")), EgressTimeouts::default()).await.expect_err("not by name");
    assert!(matches!(error, EgressError::NotGranted { .. }), "{error}");
}

#[tokio::test]
async fn own_listeners_does_not_grant_the_admin_endpoint() {
    let admin = TestServer::plain(OK).await;
    let options =
        EgressOptions { self_addresses: SelfAddresses::new(&[admin.at], &[admin.at]), ..EgressOptions::default() };
    let egress = egress(Arc::new(Grants::everything()), options);
    assert!(egress.grants().own_listeners());
    let error = egress.send(get(&admin.url("127.0.0.1")), EgressTimeouts::default()).await.expect_err("never");
    assert!(matches!(error, EgressError::OwnAdminEndpoint { .. }), "{error}");
    assert_eq!(admin.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_denial_names_the_destination_and_the_grants() {
    let captured = Arc::new(RequestCapture::default().enforcing_grants());
    for mode in [EgressMode::Send, EgressMode::Capture(captured)] {
        let granted = grants(&["127.0.0.1:21086".into()], &[]);
        let egress = Egress::new("p".into(), granted, mode, Events::new());
        egress.send(get("http://127.0.0.1:21099/"), EgressTimeouts::default()).await.expect_err("not granted");
        let denial = egress.end_call();
        assert_eq!(denial.as_deref(), Some("it requested 127.0.0.1:21099; the grants are 127.0.0.1:21086"));
        assert_eq!(egress.end_call(), None, "it is reported once, for its call");
    }
}

#[tokio::test]
async fn other_ports_and_other_addresses_of_a_name_stay_reachable() {
    let (admin, sink) = (TestServer::plain(OK).await, TestServer::plain(OK).await);
    let self_addresses = SelfAddresses::new(&[SocketAddr::from(([0, 0, 0, 0], admin.at.port()))], &[]);
    let egress = egress(Arc::new(Grants::everything()), EgressOptions { self_addresses, ..EgressOptions::default() });
    let response = egress.send(get(&sink.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(admin.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_the_granted_addresses_of_a_name_are_dialled() {
    // Two servers on one port: the one at 127.0.0.2 accepts connections, but is not granted.
    let granted = TestServer::plain(OK).await;
    let port = granted.at.port();
    let Ok(other) = TcpListener::bind(("127.0.0.2", port)).await else { return };
    let resolve = table_resolver(&[("mixed.example", &["127.0.0.2", "127.0.0.1", "10.0.0.1"])]);
    let http = [format!("mixed.example:{port}")];
    let egress = egress(grants(&http, &["127.0.0.1/32"]), EgressOptions { resolve, ..EgressOptions::default() });
    let response = egress.send(get(&granted.url("mixed.example")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(response.status(), 200);
    let silence = tokio::time::timeout(Duration::from_millis(20), other.accept()).await;
    assert!(silence.is_err(), "the address without a grant was not dialled");
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let server = TestServer::plain(OK).await;
    let resolve = table_resolver(&[("two.example", &["127.0.0.3", "127.0.0.1"])]);
    let http = [format!("two.example:{}", server.at.port())];
    let egress = egress(grants(&http, &["127.0.0.0/8"]), EgressOptions { resolve, ..EgressOptions::default() });
    let response = egress.send(get(&server.url("two.example")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_refused_connection_is_its_own_error() {
    let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let egress = egress(grants(&[at.to_string()], &[]), EgressOptions::default());
    let error = egress.send(get(&format!("http://{at}/")), EgressTimeouts::default()).await.expect_err("no server");
    assert_eq!(error, EgressError::ConnectionRefused(at.to_string()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = TestServer::plain(OK).await;
    let answer: &'static str =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", target.at)
            .leak();
    let server = TestServer::plain(answer).await;
    let egress = egress(grants(&[server.at.to_string(), target.at.to_string()], &[]), EgressOptions::default());
    let response = egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn response_bytes_obeyed_and_violated() {
    let limits = EgressLimits { response_bytes: 8, ..EgressLimits::default() };
    let declared = TestServer::plain("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789").await;
    let chunked =
        TestServer::plain("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n")
            .await;
    let fits = TestServer::plain("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n12345678").await;
    let http = [declared.at.to_string(), chunked.at.to_string(), fits.at.to_string()];
    let egress = egress(grants(&http, &[]), EgressOptions { limits, ..EgressOptions::default() });
    let too_large = EgressError::ResponseTooLarge { cap: 8 };
    assert_eq!(
        egress.send(get(&declared.url("127.0.0.1")), EgressTimeouts::default()).await.expect_err("declared"),
        too_large
    );
    let response = egress.send(get(&chunked.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(text(response).await.expect_err("counted"), too_large);
    let response = egress.send(get(&fits.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "12345678");
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let mute = TestServer::plain("").await;
    let slow = TestServer::plain("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234").await;
    let egress = egress(grants(&[mute.at.to_string(), slow.at.to_string()], &[]), EgressOptions::default());
    let error = egress.send(get(&mute.url("127.0.0.1")), short_timeouts()).await.expect_err("no head");
    assert_eq!(error, EgressError::ReadTimeout);
    let response = egress.send(get(&slow.url("127.0.0.1")), short_timeouts()).await.unwrap();
    assert_eq!(text(response).await.expect_err("no more body"), EgressError::ReadTimeout);
}

#[tokio::test]
async fn a_resolver_that_hangs_times_out() {
    struct HangingResolver;
    impl Resolve for HangingResolver {
        fn resolve(&self, _: &str) -> Lookup {
            Box::pin(std::future::pending())
        }
    }
    let options = EgressOptions { resolve: Arc::new(HangingResolver), ..EgressOptions::default() };
    let egress = egress(grants(&["slow.example:80".into()], &[]), options);
    let times = EgressTimeouts { connect: Some(Duration::from_millis(30)), ..EgressTimeouts::default() };
    let error = egress.send(get("http://slow.example/"), times).await.expect_err("it hangs");
    assert_eq!(error, EgressError::ConnectTimeout);
}

#[tokio::test]
async fn a_response_that_is_not_http_is_an_error() {
    let garbage = TestServer::plain("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    let egress = egress(grants(&[garbage.at.to_string()], &[]), EgressOptions::default());
    let error = egress.send(get(&garbage.url("127.0.0.1")), EgressTimeouts::default()).await.expect_err("not HTTP");
    assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
}

/// The head of a response without a body, with the method of its request.
const WITHOUT_A_BODY: [(&str, Method); 4] = [
    ("HTTP/1.1 204 No Content\r\n\r\n", Method::POST),
    ("HTTP/1.1 304 Not Modified\r\n\r\n", Method::GET),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Method::POST),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Method::HEAD),
];

#[tokio::test]
async fn a_response_without_a_body_holds_no_permit() {
    for (answer, method) in WITHOUT_A_BODY {
        let server = TestServer::plain(answer).await;
        let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions::default());
        let mut responses = Vec::new();
        for _ in 0..DEFAULT_MAX_REQUESTS * 4 {
            let mut request = get(&server.url("127.0.0.1"));
            *request.method_mut() = method.clone();
            responses.push(egress.send(request, EgressTimeouts::default()).await.expect(answer));
            assert_eq!(egress.in_flight(), 0, "{answer}");
        }
        assert_eq!(text(responses.remove(0)).await.unwrap(), "");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection is back in the pool: {answer}");
    }
}

#[tokio::test]
async fn the_permit_is_released_at_the_last_byte_of_the_body() {
    let server = TestServer::plain(OK).await;
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions::default());
    let mut response = egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(egress.in_flight(), 1);
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.data_ref().unwrap(), "ok");
    assert_eq!(egress.in_flight(), 0, "the end of the body was not read");
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn open_responses_end_with_their_call() {
    let server = TestServer::plain(OK).await;
    let limits = EgressLimits { requests: 2, ..EgressLimits::default() };
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions { limits, ..EgressOptions::default() });
    let mut responses = Vec::new();
    for _ in 0..1_000 {
        for _ in 0..2 {
            responses.push(egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap());
        }
        assert_eq!(egress.in_flight(), 2);
        assert_eq!(egress.end_call(), None);
        assert_eq!(egress.in_flight(), 0);
    }
    let late = text(responses.remove(0)).await.expect_err("a truncated body must not look complete");
    assert_eq!(late, EgressError::CallEnded);
}

#[tokio::test]
async fn the_end_of_a_call_leaves_other_instances_alone() {
    let server = TestServer::plain(OK).await;
    let one = egress(grants(&[server.at.to_string()], &[]), EgressOptions::default());
    let other = one.for_instance();
    let response = other.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    one.end_call();
    assert_eq!(text(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_request_without_a_response_ends_with_its_call() {
    let mute = TestServer::plain("").await;
    let egress = egress(grants(&[mute.at.to_string()], &[]), EgressOptions::default());
    let asked = tokio::spawn(egress.send(get(&mute.url("127.0.0.1")), EgressTimeouts::default()));
    while mute.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let never_polled = egress.send(get(&mute.url("127.0.0.1")), EgressTimeouts::default());
    egress.end_call();
    assert_eq!(asked.await.unwrap().expect_err("its call has ended"), EgressError::CallEnded);
    assert_eq!(never_polled.await.expect_err("it was begun in that call"), EgressError::CallEnded);
    assert_eq!(egress.in_flight(), 0);
    assert_eq!(mute.requests().len(), 1);
    closed(&mute).await;
}

#[tokio::test]
async fn a_response_that_is_still_arriving_ends_with_its_call() {
    let slow = TestServer::plain("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234").await;
    let egress = egress(grants(&[slow.at.to_string()], &[]), EgressOptions::default());
    let _kept = egress.send(get(&slow.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    egress.end_call();
    assert_eq!(egress.in_flight(), 0);
    closed(&slow).await;
}

#[tokio::test]
async fn a_request_that_is_never_finished_ends_with_its_call() {
    // It answers as soon as it has read the head, and the answer is read to its end: only the request is left.
    let server = TestServer::plain(OK).await;
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions::default());
    let unfinished = Request::post(server.url("127.0.0.1")).body(PendingBody.boxed_unsync()).unwrap();
    let response = egress.send(unfinished, EgressTimeouts::default()).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");
    assert_eq!(server.closed.available_permits(), 0);
    egress.end_call();
    closed(&server).await;
}

/// A body that never yields a frame.
struct PendingBody;

impl hyper::body::Body for PendingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, BoxError>>> {
        std::task::Poll::Pending
    }
}

/// Waits until a connection of the server is closed.
async fn closed(server: &TestServer) {
    let ended = tokio::time::timeout(Duration::from_secs(10), server.closed.acquire()).await;
    assert!(ended.is_ok(), "the server saw the end of the connection");
}

#[tokio::test]
async fn requests_obeyed() {
    let server = TestServer::plain(OK).await;
    let limits = EgressLimits { requests: 3, ..EgressLimits::default() };
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions { limits, ..EgressOptions::default() });
    let mut responses = Vec::new();
    for _ in 0..3 {
        responses.push(egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap());
    }
    assert_eq!(egress.in_flight(), 3);
}

#[tokio::test]
async fn requests_violated() {
    let server = TestServer::plain(OK).await;
    let limits = EgressLimits { requests: 1, ..EgressLimits::default() };
    let (events, reported) = (Events::new(), Arc::<Mutex<Vec<(usize, usize)>>>::default());
    let log = reported.clone();
    let _listening = events.listen(&[Topic::EgressBusy], move |event| {
        if let EventData::EgressBusy { cap, unread, .. } = &event.data {
            log.lock().unwrap().push((*cap, *unread));
        }
    });
    let options = EgressOptions { limits, ..EgressOptions::default() };
    let egress =
        Egress::with_options("p".into(), grants(&[server.at.to_string()], &[]), EgressMode::Send, events, options);
    let unread = egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.unwrap();
    let times = EgressTimeouts { connect: Some(Duration::from_millis(30)), ..EgressTimeouts::default() };
    let error = egress.send(get(&server.url("127.0.0.1")), times).await.expect_err("the first response is not read");
    assert_eq!(error, EgressError::TooManyRequests { cap: 1 });
    assert_eq!(*reported.lock().unwrap(), [(1, 1)], "one response that is not read");
    drop(unread);
    egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()).await.expect("the permit is free again");
}

#[tokio::test]
async fn dropping_the_future_closes_its_connection() {
    let mute = TestServer::plain("").await;
    let egress = egress(grants(&[mute.at.to_string()], &[]), EgressOptions::default());
    let url = mute.url("127.0.0.1");
    let call = tokio::spawn({
        let egress = egress.clone();
        async move { egress.send(get(&url), EgressTimeouts::default()).await.map(|_| ()) }
    });
    while mute.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    closed(&mute).await;
}

fn certified(name: &str) -> (TlsAcceptor, Trust) {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), Trust::with_roots(vec![cert.der().clone()]))
}

#[tokio::test]
async fn tls_accepts_only_the_right_name_under_a_trusted_root() {
    let (acceptor, trust) = certified("sink.example");
    let server = TestServer::start(OK, Some(acceptor)).await;
    let port = server.at.port();
    let http = [format!("sink.example:{port}"), format!("other.example:{port}")];
    let resolve = table_resolver(&[("sink.example", &["127.0.0.1"]), ("other.example", &["127.0.0.1"])]);
    let grants = grants(&http, &["127.0.0.0/8"]);
    let knows = egress(grants.clone(), EgressOptions { trust, resolve: resolve.clone(), ..EgressOptions::default() });
    let response = knows.send(get(&format!("https://sink.example:{port}/")), EgressTimeouts::default()).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");

    let error =
        knows.send(get(&format!("https://other.example:{port}/")), EgressTimeouts::default()).await.expect_err("name");
    assert!(matches!(error, EgressError::Certificate { .. }), "{error:?}");

    let (_, unrelated) = certified("sink.example");
    let does_not = egress(grants, EgressOptions { trust: unrelated, resolve, ..EgressOptions::default() });
    let error = does_not
        .send(get(&format!("https://sink.example:{port}/")), EgressTimeouts::default())
        .await
        .expect_err("root");
    assert!(matches!(error, EgressError::Certificate { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_to_a_plaintext_server_is_an_error() {
    let server = TestServer::plain(OK).await;
    let (_, trust) = certified("x");
    let egress = egress(grants(&[server.at.to_string()], &[]), EgressOptions { trust, ..EgressOptions::default() });
    let times = EgressTimeouts { connect: Some(Duration::from_millis(200)), ..EgressTimeouts::default() };
    let error = egress.send(get(&format!("https://{}/", server.at)), times).await.expect_err("no TLS there");
    assert!(matches!(error, EgressError::Tls { .. } | EgressError::ConnectTimeout), "{error:?}");
}

#[tokio::test]
async fn captured_requests_are_recorded_and_not_sent() {
    let captured = Arc::new(RequestCapture::default());
    let egress = Egress::new(
        "p".into(),
        grants(&["granted.example:80".into()], &[]),
        EgressMode::Capture(captured.clone()),
        Events::new(),
    );
    for url in ["http://granted.example/v1/metrics", "http://other.example/"] {
        let response = egress.send(post(url, "body"), EgressTimeouts::default()).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.unwrap().as_str()), (200, ""));
    }
    let (requests, dropped) = captured.take();
    assert_eq!((requests.len(), dropped), (2, 0));
    assert_eq!(requests.iter().map(|r| r.granted).collect::<Vec<_>>(), [true, false]);
    assert_eq!((requests[0].body.as_ref(), requests[0].body_len), (&b"body"[..], 4));
    assert_eq!(requests[0].uri.path(), "/v1/metrics");
}

#[tokio::test]
async fn every_request_emits_one_event_at_its_end() {
    let server = TestServer::plain(OK).await;
    let events = Events::new();
    let reported = Arc::<Mutex<Vec<(String, usize)>>>::default();
    let log = reported.clone();
    let _listening = events.listen(&[Topic::EgressRequest], move |event| {
        if let EventData::EgressRequest { status, size, .. } = &event.data {
            log.lock().unwrap().push((status.clone(), *size));
        }
    });
    let egress = Egress::new("p".into(), grants(&[server.at.to_string()], &[]), EgressMode::Send, events);
    let response = egress.send(post(&server.url("127.0.0.1"), "12345"), EgressTimeouts::default()).await.unwrap();
    assert!(reported.lock().unwrap().is_empty(), "the response is not read");
    text(response).await.unwrap();
    egress.send(get("http://other.example/"), EgressTimeouts::default()).await.expect_err("not granted");
    drop(egress.send(get(&server.url("127.0.0.1")), EgressTimeouts::default()));
    let expected = [("200".to_owned(), 5), ("not-granted".to_owned(), 0)];
    assert_eq!(*reported.lock().unwrap(), expected, "a request that was never polled emits no event");
}
