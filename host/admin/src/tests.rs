mod access;
mod changes;
mod clients;
mod openapi;
mod shown;
mod visits;

use std::sync::Mutex;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::client::{AdminAddress, AdminClient};
use super::*;
use barnabas_base::InstanceId;
use barnabas_base::digest::Digest;
use barnabas_lifecycle::change::{
    Actor, ChangeOutcome, ChangeRefused, ChangeRefusedCode, ChangeStep, PluginChange, PluginChangeResult,
};
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_storage::audit;

/// The data that the pages show.
pub(super) struct FakeStatus(Mutex<Result<(), String>>);

impl StatusSource for FakeStatus {
    fn plugins(&self) -> Value {
        json!([{ "name": "console", "state": "serving", "file": "secret" }])
    }

    fn ingress(&self) -> Value {
        json!({ "received": 7 })
    }

    fn clients(&self, filter: &barnabas_pipeline::clients::ClientFilter) -> barnabas_pipeline::clients::ClientList {
        clients::list(filter)
    }

    fn client(&self, id: InstanceId) -> Option<barnabas_pipeline::clients::ClientDescription> {
        clients::one(id)
    }

    fn ready(&self) -> Result<(), String> {
        self.0.lock().unwrap().clone()
    }
}

/// Records requested changes, and lets a test decide their outcome.
#[derive(Default)]
pub(super) struct FakeOps {
    asked: Mutex<Vec<(Actor, PluginChange)>>,
    kept: Mutex<Vec<Bytes>>,
    refusal: Mutex<Option<ChangeRefused>>,
    /// The senders of the steps of started changes.
    steps: Mutex<Vec<mpsc::Sender<ChangeStep>>>,
    /// Whether changes wait for the test instead of completing immediately.
    slow: Mutex<bool>,
}

impl AdminOps for FakeOps {
    fn change(&self, who: Actor, change: PluginChange) -> Result<mpsc::Receiver<ChangeStep>, ChangeRefused> {
        self.asked.lock().unwrap().push((who, change));
        if let Some(refused) = self.refusal.lock().unwrap().clone() {
            return Err(refused);
        }
        let (sender, receiver) = mpsc::channel(8);
        if !*self.slow.lock().unwrap() {
            sender.try_send(ended(ChangeOutcome::Done)).unwrap();
        }
        self.steps.lock().unwrap().push(sender);
        Ok(receiver)
    }

    fn store_artifact(&self, artifact: Bytes) -> StoringArtifact<'_> {
        let digest = Digest::compute(&artifact);
        self.kept.lock().unwrap().push(artifact);
        Box::pin(async move { Ok(digest) })
    }

    fn describe(&self, name: &str) -> Option<Value> {
        (name == "sink").then(|| json!({ "name": "sink", "state": "serving" }))
    }

    fn logs(&self, name: &str) -> Option<Vec<GuestLogLine>> {
        let at = std::time::UNIX_EPOCH + Duration::from_millis(1_500);
        (name == "sink").then(|| vec![GuestLogLine { at, generation: 2, level: "warn", text: "words".into() }])
    }

    fn audit(&self, last: usize) -> Result<Vec<audit::AuditEntry>, String> {
        Err(format!("cannot read {last} entries: the disk failed"))
    }
}

impl FakeOps {
    fn asked(&self) -> Vec<(Actor, PluginChange)> {
        self.asked.lock().unwrap().clone()
    }

    /// The newest change.
    fn sender(&self) -> mpsc::Sender<ChangeStep> {
        self.steps.lock().unwrap().last().unwrap().clone()
    }
}

pub(super) fn ended(verdict: ChangeOutcome) -> ChangeStep {
    let (plugin, message) = ("sink".into(), "it serves".into());
    ChangeStep::Ended(PluginChangeResult {
        plugin,
        verdict,
        serving: Some(2),
        stage: None,
        message,
        grants: Vec::new(),
    })
}

/// A running endpoint with a TCP listener and a socket.
pub(super) struct TestEndpoint {
    at: SocketAddr,
    socket: PathBuf,
    token: String,
    status: Arc<FakeStatus>,
    ops: Arc<FakeOps>,
    metrics: Arc<HostMetrics>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _dir: TempDir,
}

impl TestEndpoint {
    async fn start() -> Self {
        Self::with(AdminTimeouts::default()).await
    }

    async fn with(times: AdminTimeouts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (socket, token_file) = (dir.path().join("admin.sock"), dir.path().join("admin.token"));
        let mut config = AdminConfig::new(([127, 0, 0, 1], 0).into());
        (config.socket, config.token_file) = (Some(socket.clone()), Some(token_file.clone()));
        let mut bound = bind(config).await.unwrap();
        bound.times = times;
        let (at, token) = (bound.local_addr(), token::read(&token_file).unwrap());
        let (context, metrics) = (Arc::new(FakeStatus(Mutex::new(Ok(())))), Arc::new(HostMetrics::new()));
        let office = Arc::<FakeOps>::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(context.clone(), office.clone(), metrics.clone(), async {
            let _ = stopped.await;
        }));
        Self { at, socket, token, status: context, ops: office, metrics, stop, served, _dir: dir }
    }

    /// The lines of a request that passes every check except the one under test.
    fn lines(&self, request: &str) -> String {
        format!("{request} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}", self.at, self.token)
    }

    /// The raw response to these lines.
    async fn exchange(&self, lines: &str) -> String {
        let mut stream = self.send(lines, "").await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Sends these lines and a body, and reads no response.
    async fn send(&self, lines: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(format!("{lines}\r\n\r\n{body}").as_bytes()).await.unwrap();
        stream
    }

    /// Requests a change with this body; returns the status line and the JSON of the last response line.
    async fn post(&self, path: &str, body: &str) -> (String, Value) {
        let lines = format!("{}\r\ncontent-length: {}", self.lines(&format!("POST {path}")), body.len());
        let mut answer = String::new();
        self.send(&lines, body).await.read_to_string(&mut answer).await.unwrap();
        let status = answer.lines().next().unwrap_or_default().to_owned();
        let json = answer.lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
        (status, json.unwrap_or_default())
    }

    fn client(&self) -> AdminClient {
        AdminClient::new(vec![AdminAddress::for_bound(self.at, Some(self.token.clone()))])
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let (client, path) = (self.client(), path.to_owned());
        tokio::task::spawn_blocking(move || client.get(&path)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.unwrap()).unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        assert!(!self.socket.exists(), "the socket is removed with its host");
    }
}
