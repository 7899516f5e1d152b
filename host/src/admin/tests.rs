use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::event::{Events, Payload, Topic};

struct Rooms(Mutex<Result<(), String>>);

impl StatusSource for Rooms {
    fn plugins(&self) -> Value {
        json!([{ "name": "console" }])
    }

    fn door(&self) -> Value {
        json!({ "received": 7 })
    }

    fn ready(&self) -> Result<(), String> {
        self.0.lock().unwrap().clone()
    }
}

struct Endpoint {
    at: SocketAddr,
    rooms: Arc<Rooms>,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Endpoint {
    async fn start() -> Self {
        let bound = bind(Config::new(([127, 0, 0, 1], 0).into())).await.unwrap();
        let at = bound.local_addr();
        let (rooms, metrics) = (Arc::new(Rooms(Mutex::new(Ok(())))), Arc::new(Metrics::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(rooms.clone(), metrics.clone(), async {
            let _ = stopped.await;
        }));
        Self { at, rooms, metrics, stop, served }
    }

    /// The raw answer to these lines.
    async fn says(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(format!("{lines}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let (at, path) = (self.at, path.to_owned());
        tokio::task::spawn_blocking(move || client::get(at, &path)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.unwrap()).unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }
}

#[tokio::test]
async fn it_is_alive_and_tells_its_status() {
    let endpoint = Endpoint::start().await;
    assert_eq!(endpoint.get("/healthz").await.unwrap(), "ok\n");
    let status = endpoint.json("/v1/status").await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(status, json!({ "version": version, "plugins": [{ "name": "console" }], "door": { "received": 7 } }));
    endpoint.end().await;
}

#[tokio::test]
async fn readiness_says_what_it_waits_for() {
    let endpoint = Endpoint::start().await;
    *endpoint.rooms.0.lock().unwrap() = Err("plugin `a` is being compiled".into());
    let answer = endpoint.says("GET /readyz HTTP/1.1\r\nhost: localhost").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let reason = "plugin `a` is being compiled";
    assert_eq!(body, json!({ "ready": false, "reason": reason, "plugins": [{ "name": "console" }] }));

    *endpoint.rooms.0.lock().unwrap() = Ok(());
    assert_eq!(endpoint.json("/readyz").await, json!({ "ready": true, "plugins": [{ "name": "console" }] }));
    endpoint.end().await;
}

#[tokio::test]
async fn metrics_show_what_was_emitted() {
    let endpoint = Endpoint::start().await;
    let events = Events::new();
    let _listening = endpoint.metrics.listen(&events);
    events.emit(Topic::PushEmpty, || Payload::PushEmpty);
    let page = endpoint.get("/metrics").await.unwrap();
    assert!(page.contains("\nbarnabas_push_empty_total 1\n"), "{page}");
    endpoint.end().await;
}

#[tokio::test]
async fn metrics_come_as_the_reader_wants_them() {
    let endpoint = Endpoint::start().await;
    let plain = endpoint.says("GET /metrics HTTP/1.1\r\nhost: localhost").await;
    assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
    let open = endpoint.says(&format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}")).await;
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{open}");
    assert!(open.ends_with("# EOF\n"));
    endpoint.end().await;
}

#[tokio::test]
async fn a_foreign_host_name_reads_nothing() {
    let endpoint = Endpoint::start().await;
    for path in ["/metrics", "/v1/status", "/nowhere"] {
        let answer = endpoint.says(&format!("GET {path} HTTP/1.1\r\nhost: evil.example")).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("`evil.example` is no name of this endpoint"), "{answer}");
        assert!(!answer.contains("barnabas_"), "{answer}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn it_can_only_be_read() {
    let endpoint = Endpoint::start().await;
    for method in ["POST", "PUT", "DELETE"] {
        let answer =
            endpoint.says(&format!("{method} /v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0")).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
    let answer = endpoint.says("GET /nowhere HTTP/1.1\r\nhost: localhost").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/readyz"), "{answer}");
    endpoint.end().await;
}

#[tokio::test]
async fn visitors_beyond_the_cap_wait_and_are_served() {
    let endpoint = Endpoint::start().await;
    let mut silent = Vec::new();
    for _ in 0..VISITORS {
        silent.push(TcpStream::connect(endpoint.at).await.unwrap());
    }
    let mut last = TcpStream::connect(endpoint.at).await.unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(200), last.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "answered although {VISITORS} others are there: {answer}");
    drop(silent);
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    endpoint.end().await;
}

#[tokio::test]
async fn a_visitor_who_stays_does_not_hold_up_shutdown() {
    let endpoint = Endpoint::start().await;
    let mut stream = TcpStream::connect(endpoint.at).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    endpoint.get("/healthz").await.unwrap();
    endpoint.end().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn an_address_in_use_is_told_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = bind(Config::new(holder.local_addr().unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("`admin.bind`"), "{error}");
}
