//! Over real connections to a listener on loopback, with a scripted intake.

use std::collections::VecDeque;
use std::sync::Mutex;

use barnabas_otlp::message::{ExportMetricsServiceResponse, Status};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::kafka::tests::threads::{highly_compressed, on_this_thread_and_elsewhere, real_reception, recorded};
use crate::protocol::tests::{API_VERSIONS, CLIENT_HELLO, unhex};
use barnabas_base::Codec;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::{Admission, ClientSubscription, Refusal};
use barnabas_pipeline::decode::LIGHT_JSON_BYTES;
use barnabas_pipeline::intake::{DecodePermits, LargePush};
use barnabas_pipeline::push::{ConnectionId, Format, Ingress};

/// Records pushes; answers from a list, then with [`Receipt::Accepted`].
#[derive(Default)]
struct ScriptedIntake {
    pushes: Mutex<Vec<Push>>,
    answers: Mutex<VecDeque<Result<Receipt, Refusal>>>,
    closed: bool,
    /// Locked while a test delays deliveries.
    blocked: Mutex<()>,
    turns: DecodePermits,
}

/// The size from which the intake treats a push as large.
const LARGE: usize = 128 << 10;

impl Intake for ScriptedIntake {
    fn offers_telemetry(&self) -> bool {
        !self.closed
    }
    fn subscribe(&self, _: &Arc<Client>, _: ConnectionId) -> Result<ClientSubscription, Refusal> {
        unreachable!("this listener has no subscriptions")
    }
    fn push(&self, _: Push, _: ConnectionId) -> Result<Receipt, Refusal> {
        unreachable!("this listener has no subscriptions")
    }
    fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        drop(self.blocked.lock().unwrap());
        self.pushes.lock().unwrap().push(push);
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(Receipt::Accepted(1)))
    }
    fn start_delivery(self: Arc<Self>, push: Push) -> StartedPush {
        if push.wire.len() < LARGE {
            return StartedPush::Done(self.deliver(push));
        }
        StartedPush::Large(LargePush::new(&self.turns.clone(), move || self.deliver(push)))
    }
    fn record_refused(&self, _: Ingress, _: usize, _: &Arc<Client>, _: ConnectionId, _: Refusal) {}
    fn disconnected(&self, _: ConnectionId) {}
}

struct OtlpListenerFixture {
    address: SocketAddr,
    intake: Arc<ScriptedIntake>,
    budget: Arc<ByteBudget>,
    close_reasons: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Drop for OtlpListenerFixture {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl OtlpListenerFixture {
    async fn with(config: OtlpHttpConfig, desk: ScriptedIntake, budget: Arc<ByteBudget>) -> Self {
        let bound = bind(OtlpHttpConfig { bind: (Ipv4Addr::LOCALHOST, 0).into(), ..config }).await.unwrap();
        let (at, desk) = (bound.local_addr(), Arc::new(desk));
        let (stop, stopped) = oneshot::channel();
        let (events, ends) = (Events::new(), Arc::<Mutex<Vec<String>>>::default());
        let log = ends.clone();
        let listening = events.listen(&[Topic::ListenerDisconnect], move |event| {
            if let EventData::ListenerDisconnect { reason, .. } = &event.data {
                log.lock().unwrap().push(reason.clone());
            }
        });
        let serve = bound.serve(desk.clone(), budget.clone(), events, async { stopped.await.unwrap_or(()) });
        let serving = tokio::spawn(async move {
            serve.await;
            drop(listening);
        });
        Self { address: at, intake: desk, budget, close_reasons: ends, stop: Some(stop), serving }
    }

    async fn start() -> Self {
        Self::with(OtlpHttpConfig::default(), ScriptedIntake::default(), ByteBudget::new(1 << 20)).await
    }

    async fn answering(answers: impl Into<VecDeque<Result<Receipt, Refusal>>>) -> Self {
        let desk = ScriptedIntake { answers: Mutex::new(answers.into()), ..ScriptedIntake::default() };
        Self::with(OtlpHttpConfig::default(), desk, ByteBudget::new(1 << 20)).await
    }

    async fn connect(&self) -> HttpPeer {
        HttpPeer(TcpStream::connect(self.address).await.unwrap())
    }

    async fn post(&self, headers: &str, body: &[u8]) -> HttpReply {
        let mut wire = self.connect().await;
        wire.post(headers, body).await;
        wire.reply().await.expect("an answer")
    }

    fn pushes(&self) -> Vec<Push> {
        self.intake.pushes.lock().unwrap().clone()
    }
}

struct HttpPeer(TcpStream);

struct HttpReply {
    head: String,
    body: Vec<u8>,
}

impl HttpReply {
    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
    fn problem(&self) -> Status {
        assert_eq!(self.header("content-type"), Some("application/x-protobuf"));
        Status::decode(&*self.body).unwrap()
    }
}

impl HttpPeer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn post(&mut self, headers: &str, body: &[u8]) {
        let length = body.len();
        self.send(format!("POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n")).await;
        self.send(body).await;
    }

    /// `None` at the end of the connection.
    async fn reply(&mut self) -> Option<HttpReply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut reply = HttpReply { head, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |l| l.parse().unwrap());
        reply.body.resize(length, 0);
        self.0.read_exact(&mut reply.body).await.unwrap();
        Some(reply)
    }
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";

#[tokio::test]
async fn a_request_becomes_a_push_unchanged() {
    let open = OtlpListenerFixture::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = open.post(&format!("{PROTOBUF}traceparent: {trace}\r\n"), b"metrics").await;
    assert_eq!((reply.status(), reply.header("content-type")), (200, Some("application/x-protobuf")));
    assert_eq!(ExportMetricsServiceResponse::decode(&*reply.body).unwrap(), ExportMetricsServiceResponse::default());

    let push = &open.pushes()[0];
    assert_eq!((push.ingress, push.codec, push.wire.as_ref()), (Ingress::OtlpHttp, 0, &b"metrics"[..]));
    assert_eq!(push.trace_parent.as_deref(), Some(trace));
    assert_eq!(push.client.source.unwrap().ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(push.client.listener.as_deref(), Some("otlp-http"));
    let Client { instance_id, client_id, principal, .. } = &*push.client;
    assert_eq!((instance_id, client_id, principal), (&None, &None, &None), "unknown facts are absent");
    assert_eq!((push.node_id, push.subscription_id, push.push_interval, push.terminating), (None, None, None, false));
}

#[tokio::test]
async fn content_encodings_become_codecs_without_decompression() {
    let open = OtlpListenerFixture::start().await;
    for (encoding, codec) in [("identity", 0), ("gzip", 1), ("GZIP", 1), ("zstd", 4)] {
        let reply = open.post(&format!("{PROTOBUF}content-encoding: {encoding}\r\n"), b"as it came").await;
        assert_eq!(reply.status(), 200, "{encoding}");
        let push = open.pushes().pop().unwrap();
        assert_eq!((push.codec, push.wire.as_ref()), (codec, &b"as it came"[..]), "{encoding}");
    }
    for refused in ["deflate", "br", "gzip, zstd", "gzip\r\ncontent-encoding: zstd"] {
        let reply = open.post(&format!("{PROTOBUF}content-encoding: {refused}\r\n"), b"x").await;
        assert_eq!((reply.status(), reply.header("accept-encoding")), (415, Some("gzip, zstd")), "{refused}");
        assert!(reply.problem().message.contains("gzip"), "{refused}");
    }
    assert_eq!(open.pushes().len(), 4);
}

#[tokio::test]
async fn other_content_types_are_refused_with_415() {
    let open = OtlpListenerFixture::start().await;
    for other in ["", "content-type: text/plain\r\n"] {
        let reply = open.post(other, b"x").await;
        assert_eq!((reply.status(), reply.problem().code), (415, 3));
        assert!(reply.problem().message.contains("application/json"));
    }
    let parameters = open.post("content-type: Application/X-Protobuf; a=b\r\n", b"x").await;
    assert_eq!(parameters.status(), 200);
    assert_eq!(open.pushes().len(), 1);
}

#[tokio::test]
async fn json_is_passed_on_unchanged_and_answered_in_json() {
    let said = |reply: &HttpReply| {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()
    };
    let refusal = Err(Refusal::InvalidRecord("resourceMetrics[0]: no".into()));
    let open = OtlpListenerFixture::answering([Ok(Receipt::Accepted(1)), refusal]).await;
    let reply =
        open.post("content-type: Application/JSON; charset=utf-8\r\ncontent-encoding: zstd\r\n", b"as it came").await;
    assert_eq!((reply.status(), said(&reply)), (200, serde_json::json!({})));
    let push = &open.pushes()[0];
    assert_eq!((push.format, push.codec, push.wire.as_ref()), (Format::Json, 4, &b"as it came"[..]));
    let reply = open.post("content-type: application/json\r\n", b"x").await;
    assert_eq!((reply.status(), &said(&reply)["code"]), (400, &serde_json::json!(3)));
    assert!(said(&reply)["message"].as_str().unwrap().contains("resourceMetrics[0]: no"));
    let desk = ScriptedIntake {
        closed: true,
        answers: Mutex::new([Ok(Receipt::Unwanted)].into()),
        ..ScriptedIntake::default()
    };
    let open = OtlpListenerFixture::with(OtlpHttpConfig::default(), desk, ByteBudget::new(1 << 20)).await;
    let reply = open.post("content-type: application/json\r\n", b"x").await;
    assert!(said(&reply)["partialSuccess"]["errorMessage"].as_str().unwrap().contains("no receiver"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_the_right_ones_are_named() {
    let open = OtlpListenerFixture::start().await;
    let mut wire = open.connect().await;
    wire.send("GET /v1/metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let reply = wire.reply().await.unwrap();
    assert_eq!((reply.status(), reply.header("allow"), reply.problem().code), (405, Some("POST"), 12));
    wire.send("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    let reply = wire.reply().await.unwrap();
    assert_eq!(reply.status(), 404);
    assert!(reply.problem().message.contains("/v1/metrics"));
}

#[tokio::test]
async fn refusals_have_otlp_status_codes() {
    let cases = [
        (Refusal::InvalidRecord("no OTLP".into()), 400, 3, None),
        (Refusal::TooLarge("17 MiB".into()), 413, 8, None),
        (Refusal::UnsupportedCodec(9), 415, 3, None),
        (Refusal::TooSoon { interval_ms: 1500 }, 429, 8, Some("2")),
    ];
    let open =
        OtlpListenerFixture::answering(cases.iter().map(|case| Err(case.0.clone())).collect::<VecDeque<_>>()).await;
    for (refusal, status, code, retry_after) in cases {
        let reply = open.post(PROTOBUF, b"x").await;
        assert_eq!((reply.status(), reply.header("retry-after")), (status, retry_after), "{refusal}");
        assert_eq!(reply.problem(), Status { code, message: refusal.to_string() });
    }
}

#[tokio::test]
async fn a_sender_learns_about_receivers_only_if_there_are_none() {
    let open = OtlpListenerFixture::answering([Ok(Receipt::Unwanted), Ok(Receipt::Empty)]).await;
    for _ in 0..2 {
        let reply = open.post(PROTOBUF, b"x").await;
        assert_eq!((reply.status(), reply.body.len()), (200, 0));
    }
    let desk = ScriptedIntake {
        closed: true,
        answers: Mutex::new([Ok(Receipt::Unwanted)].into()),
        ..ScriptedIntake::default()
    };
    let open = OtlpListenerFixture::with(OtlpHttpConfig::default(), desk, ByteBudget::new(1 << 20)).await;
    let reply = open.post(PROTOBUF, b"x").await;
    let said = ExportMetricsServiceResponse::decode(&*reply.body).unwrap().partial_success.unwrap();
    assert_eq!((reply.status(), said.rejected_data_points), (200, 0));
    assert!(said.error_message.contains("no receiver"), "{}", said.error_message);
}

#[tokio::test]
async fn a_body_above_the_cap_is_answered_413() {
    let config = OtlpHttpConfig { max_body: 1000, ..OtlpHttpConfig::default() };
    let open = OtlpListenerFixture::with(config, ScriptedIntake::default(), ByteBudget::new(1 << 20)).await;
    assert_eq!(open.post(PROTOBUF, &[7; 1000]).await.status(), 200);
    let reply = open.post(PROTOBUF, &[7; 1001]).await;
    assert_eq!((reply.status(), reply.problem().code), (413, 8));
    let mut wire = open.connect().await;
    wire.send(format!("POST /v1/metrics HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{PROTOBUF}\r\n")).await;
    for _ in 0..6 {
        wire.send(format!("c8\r\n{}\r\n", "x".repeat(200))).await;
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.reply().await.unwrap().status(), 413);
    wire.post(PROTOBUF, b"next").await;
    assert_eq!(wire.reply().await.unwrap().status(), 200, "the connection stays open");
    assert_eq!(open.pushes().len(), 2);
}

#[tokio::test]
async fn a_large_body_arrives_whole_and_its_bytes_return_to_the_budget() {
    let open = OtlpListenerFixture::start().await;
    let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    assert_eq!(open.post(PROTOBUF, &body).await.status(), 200);
    assert_eq!(open.pushes()[0].wire.as_ref(), body);
    assert_eq!(open.budget.in_use(), 0);
}

#[tokio::test]
async fn a_full_budget_is_answered_503_with_retry_after() {
    let config = OtlpHttpConfig { body: Duration::from_millis(50), ..OtlpHttpConfig::default() };
    let open = OtlpListenerFixture::with(config, ScriptedIntake::default(), ByteBudget::new(1024)).await;
    let (mut room, mut over) = (open.budget.hold(), open.budget.hold());
    room.grow(1024).await;
    over.grow(1024).await;
    let reply = open.post(PROTOBUF, b"x").await;
    assert_eq!((reply.status(), reply.header("retry-after"), reply.problem().code), (503, Some("1"), 14));
    drop((room, over));
    assert_eq!(open.post(PROTOBUF, b"x").await.status(), 200);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let open = OtlpListenerFixture::start().await;
    let mut wire = open.connect().await;
    for n in 0..5u8 {
        wire.post(PROTOBUF, &[n]).await;
        assert_eq!(wire.reply().await.unwrap().status(), 200);
    }
    wire.post(PROTOBUF, b"pipe").await;
    wire.post(PROTOBUF, b"lined").await;
    assert_eq!([wire.reply().await.unwrap().status(), wire.reply().await.unwrap().status()], [200, 200]);
    assert_eq!(open.pushes().len(), 7);
}

#[tokio::test]
async fn slow_bodies_and_heads_time_out_and_idle_connections_stay() {
    let hurry = Duration::from_millis(60);
    let config = OtlpHttpConfig { head: hurry, body: hurry, ..OtlpHttpConfig::default() };
    let open = OtlpListenerFixture::with(config, ScriptedIntake::default(), ByteBudget::new(1 << 20)).await;
    let mut idle = open.connect().await;
    idle.post(PROTOBUF, b"x").await;
    assert_eq!(idle.reply().await.unwrap().status(), 200);

    let mut body = open.connect().await;
    body.send(format!("POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n{PROTOBUF}\r\nhalf")).await;
    assert_eq!(body.reply().await.unwrap().status(), 408);
    let mut head = open.connect().await;
    head.send("POST /v1/metrics HTTP/1.1\r\nho").await;
    assert!(head.reply().await.is_none(), "closed");
    assert!(open.close_reasons.lock().unwrap().iter().any(|end| end.contains("head")), "{:?}", open.close_reasons);

    tokio::time::sleep(2 * hurry).await;
    idle.post(PROTOBUF, b"x").await;
    assert_eq!(idle.reply().await.expect("idle connections stay open").status(), 200);
}

#[tokio::test]
async fn a_connection_over_the_cap_is_closed_and_the_others_are_served() {
    let config = OtlpHttpConfig { max_connections: 1, ..OtlpHttpConfig::default() };
    let open = OtlpListenerFixture::with(config, ScriptedIntake::default(), ByteBudget::new(1 << 20)).await;
    let mut first = open.connect().await;
    first.post(PROTOBUF, b"x").await;
    assert_eq!(first.reply().await.unwrap().status(), 200);
    let mut second = open.connect().await;
    assert!(second.reply().await.is_none());
    first.post(PROTOBUF, b"x").await;
    assert_eq!(first.reply().await.unwrap().status(), 200);
    drop(first);
    loop {
        let mut third = open.connect().await;
        if third.0.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() && third.reply().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn other_protocols_are_named_however_their_bytes_are_split() {
    let open = OtlpListenerFixture::start().await;
    let (hello, kafka) = (unhex(CLIENT_HELLO), unhex(API_VERSIONS));
    for (bytes, words) in [
        (&hello[..], "TLS arrived at the OTLP/HTTP listener"),
        (&kafka[..], "the Kafka protocol arrived at the OTLP/HTTP listener"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 arrived at the OTLP/HTTP listener"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "a PROXY protocol header arrived at the OTLP/HTTP listener"),
    ] {
        for cut in [0, 1, 5] {
            open.close_reasons.lock().unwrap().clear();
            let mut wire = open.connect().await;
            wire.0.write_all(&bytes[..cut]).await.ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
            wire.0.write_all(&bytes[cut..]).await.ok();
            let mut answer = Vec::new();
            let _ = wire.0.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{answer:?}");
            while open.close_reasons.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let end = open.close_reasons.lock().unwrap()[0].clone();
            assert!(end.contains(words) && end.contains(&open.address.to_string()), "cut at {cut}: {end}");
        }
    }
    // HTTP itself may be split anywhere.
    let mut wire = open.connect().await;
    for part in ["P", "OS", "T /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n", PROTOBUF, "\r\n", "x"] {
        wire.send(part).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(wire.reply().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_incomplete_prefix_times_out_as_a_slow_head() {
    let config = OtlpHttpConfig { head: Duration::from_millis(60), ..OtlpHttpConfig::default() };
    let open = OtlpListenerFixture::with(config, ScriptedIntake::default(), ByteBudget::new(1 << 20)).await;
    for start in ["P", "\x16"] {
        open.close_reasons.lock().unwrap().clear();
        let mut wire = open.connect().await;
        wire.send(start).await;
        assert!(wire.reply().await.is_none(), "closed");
        while open.close_reasons.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(open.close_reasons.lock().unwrap()[0].contains("head"), "{:?}", open.close_reasons);
    }
}

#[tokio::test]
async fn endless_heads_and_non_http_bytes_close_only_their_own_connection() {
    let open = OtlpListenerFixture::start().await;
    for noise in ["\x16\x03\x01\x02\x00\x01\x00".to_owned(), format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(100_000))] {
        let mut wire = open.connect().await;
        wire.0.write_all(noise.as_bytes()).await.ok();
        while wire.reply().await.is_some() {}
    }
    assert_eq!(open.post(PROTOBUF, b"x").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_what_was_read_and_closes_the_rest() {
    let mut open = OtlpListenerFixture::start().await;
    let mut idle = open.connect().await;
    idle.post(PROTOBUF, b"x").await;
    assert_eq!(idle.reply().await.unwrap().status(), 200);
    let desk = open.intake.clone();
    let (held, release) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
    let holder = std::thread::spawn(move || {
        let _gate = desk.blocked.lock().unwrap();
        held.0.send(()).unwrap();
        release.1.recv().unwrap();
    });
    held.1.await.unwrap();
    let mut busy = open.connect().await;
    // Large enough to be decoded on another thread, so that the listener itself is not blocked.
    busy.post(PROTOBUF, &vec![1; LARGE]).await;
    while open.budget.in_use() < LARGE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    open.stop.take().unwrap().send(()).unwrap();
    assert!(idle.reply().await.is_none(), "it had no request in flight");
    assert!(TcpStream::connect(open.address).await.is_err(), "no new connection is accepted");
    assert!(!open.serving.is_finished());
    release.0.send(()).unwrap();
    let reply = busy.reply().await.expect("an answer during shutdown");
    assert_eq!((reply.status(), reply.header("connection")), (200, Some("close")));
    (&mut open.serving).await.unwrap();
    holder.join().unwrap();
    assert_eq!(open.pushes().len(), 2);
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_its_listener() {
    let open = OtlpListenerFixture::start().await;
    let error =
        bind(OtlpHttpConfig { bind: open.address, ..OtlpHttpConfig::default() }).await.expect_err("it is taken");
    let words = format!("{error:#}");
    assert!(words.contains(&open.address.to_string()) && words.contains("`otlp-http`"), "{words}");
}

#[tokio::test]
async fn only_light_bodies_are_decoded_on_the_listener_threads() {
    let (reception, threads, _listening) =
        real_reception(Arc::new(Admission::new(admission::AdmissionConfig::default())));
    let bound =
        bind(OtlpHttpConfig { bind: (Ipv4Addr::LOCALHOST, 0).into(), ..OtlpHttpConfig::default() }).await.unwrap();
    let (at, budget) = (bound.local_addr(), ByteBudget::new(8 << 20));
    let serving = tokio::spawn(bound.serve(reception, budget.clone(), Events::new(), std::future::pending()));
    let mut wire = HttpPeer(TcpStream::connect(at).await.unwrap());
    let mut post = async |kind: &str, encoding: &str, body: &[u8]| {
        wire.post(&format!("content-type: application/{kind}\r\ncontent-encoding: {encoding}\r\n"), body).await;
        wire.reply().await.unwrap().status()
    };
    let encoding = |codec| {
        [(Codec::None, "identity"), (Codec::Gzip, "gzip"), (Codec::Zstd, "zstd")].into_iter().find(|it| it.0 == codec)
    };
    let mut sent = 0;
    for (codec, body) in recorded() {
        let Some((_, encoding)) = encoding(codec) else { continue };
        assert_eq!(post("x-protobuf", encoding, &body).await, 200, "{encoding}");
        sent += 1;
    }
    assert!(sent > 10);
    assert_eq!(on_this_thread_and_elsewhere(&threads), (sent, 0));
    for (codec, body) in highly_compressed() {
        assert_eq!(post("x-protobuf", encoding(codec).unwrap().1, &body).await, 200, "{codec}");
    }
    assert_eq!(on_this_thread_and_elsewhere(&threads), (0, 2));
    let json = |len: usize| format!("{{\"resourceMetrics\":[]{}}}", " ".repeat(len - 22)).into_bytes();
    assert_eq!(post("json", "identity", &json(LIGHT_JSON_BYTES)).await, 200);
    assert_eq!(on_this_thread_and_elsewhere(&threads), (1, 0));
    assert_eq!(post("json", "identity", &json(LIGHT_JSON_BYTES + 1)).await, 200);
    let packed = zstd::encode_all(&json(1 << 20)[..], 3).unwrap();
    assert_eq!(post("json", "zstd", &packed).await, 200);
    assert_eq!(on_this_thread_and_elsewhere(&threads), (0, 2));
    assert_eq!(budget.in_use(), 0);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_sender_frees_its_bytes_only_after_its_push_is_decoded() {
    let open = OtlpListenerFixture::start().await;
    let desk = open.intake.clone();
    let (held, release) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
    let holder = std::thread::spawn(move || {
        let _gate = desk.blocked.lock().unwrap();
        held.0.send(()).unwrap();
        release.1.recv().unwrap();
    });
    held.1.await.unwrap();
    let mut sender = open.connect().await;
    sender.post(PROTOBUF, &vec![1; LARGE]).await;
    // The decoding thread has taken it, and waits for the lock.
    while open.intake.turns.available() == DecodePermits::default().available() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(sender);
    while open.close_reasons.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(open.budget.in_use() >= LARGE);
    release.0.send(()).unwrap();
    while open.budget.in_use() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(open.pushes().len(), 1);
    holder.join().unwrap();
}
