mod admin;
pub(super) mod authority;
mod bad_input;
mod differential;
mod golden;
mod hosts;
mod proxy;
mod sasl;
mod shutdown;
pub(crate) mod threads;
mod tls;
mod well_behaved_clients;
mod wrong_protocol;

use std::net::SocketAddr;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::subscription::testing;
use barnabas_base::{Codec, InstanceId};
use barnabas_pipeline::admission::ClientSubscription;
use barnabas_pipeline::admission::Refusal;
use barnabas_pipeline::event::{EventData, ListenerGuard, Topic};
use barnabas_pipeline::intake::Receipt;
use barnabas_pipeline::push::{Client, Ingress, Push};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex")).collect()
}

const GIVEN: InstanceId = InstanceId::from_bytes([0x70, 0x1a, 0xe8, 0xad, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

/// An intake that records its calls.
#[derive(Default)]
struct FakeIntake {
    no_receiver: AtomicBool,
    /// The software that is not offered telemetry.
    not_offered: Mutex<Option<String>>,
    panics: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
    subscribe_calls: Mutex<Vec<Arc<Client>>>,
    pushes: Mutex<Vec<(Push, ConnectionId)>>,
    disconnected: Mutex<Vec<ConnectionId>>,
    refused: Mutex<Vec<(usize, Arc<Client>, Refusal)>>,
}

impl FakeIntake {
    fn answer(&self) -> Result<(), Refusal> {
        if self.panics.load(Ordering::Relaxed) {
            panic_any("a panic that this test requested");
        }
        self.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Intake for FakeIntake {
    fn offers_telemetry(&self) -> bool {
        !self.no_receiver.load(Ordering::Relaxed)
    }

    fn offers_telemetry_to(&self, client: &Client) -> bool {
        let hurt = self.not_offered.lock().unwrap();
        self.offers_telemetry() && (hurt.is_none() || hurt.as_deref() != client.software_name.as_deref())
    }

    fn subscribe(&self, client: &Arc<Client>, _: ConnectionId) -> Result<ClientSubscription, Refusal> {
        self.subscribe_calls.lock().unwrap().push(client.clone());
        self.answer().map(|()| ClientSubscription {
            instance_id: client.instance_id.unwrap_or(GIVEN),
            id: 0x1234_5678,
            codecs: Codec::OFFERED.to_vec(),
            push_interval: Duration::from_millis(1500),
            max_bytes: 1 << 20,
            delta: false,
            metrics: Arc::new(["*".into()]),
        })
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        self.pushes.lock().unwrap().push((push, connection));
        self.answer().map(|()| Receipt::Accepted(1))
    }

    fn deliver(&self, _: Push) -> Result<Receipt, Refusal> {
        unreachable!("this listener has subscriptions")
    }

    fn record_refused(&self, _: Ingress, wire: usize, client: &Arc<Client>, _: ConnectionId, refusal: Refusal) {
        self.refused.lock().unwrap().push((wire, client.clone(), refusal));
        self.answer().ok();
    }

    fn disconnected(&self, connection: ConnectionId) {
        self.disconnected.lock().unwrap().push(connection);
    }
}

/// A listener on a loopback port.
struct KafkaListenerFixture {
    address: SocketAddr,
    intake: Arc<FakeIntake>,
    budget: Arc<ByteBudget>,
    subscriptions: Subscriptions,
    /// Reasons, in the order in which connections closed.
    close_reasons: Arc<Mutex<Vec<String>>>,
    served: Arc<Mutex<Vec<(&'static str, i16)>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    _listening: ListenerGuard,
}

impl KafkaListenerFixture {
    async fn open() -> Self {
        Self::configured(|_| {}).await
    }

    async fn configured(change: impl FnOnce(&mut KafkaListenerConfig)) -> Self {
        Self::with_budget(ByteBudget::DEFAULT_BYTES, change).await
    }

    async fn with_budget(bytes: usize, change: impl FnOnce(&mut KafkaListenerConfig)) -> Self {
        let (notebook, subscriptions) = (Arc::new(FakeIntake::default()), testing::subscriptions().0);
        Self::with_intake(notebook.clone(), notebook, subscriptions, bytes, change).await
    }

    /// With another intake than the recording one.
    async fn with_intake(
        intake: Arc<dyn Intake>,
        notebook: Arc<FakeIntake>,
        subscriptions: Subscriptions,
        bytes: usize,
        change: impl FnOnce(&mut KafkaListenerConfig),
    ) -> Self {
        let mut config = KafkaListenerConfig::new("test", "127.0.0.1:0".parse().unwrap());
        change(&mut config);
        let bound = bind(config).await.unwrap();
        let (address, events) = (bound.local_addr(), Events::new());
        let (ends, served) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (heard, counted) = (ends.clone(), served.clone());
        let listening =
            events.listen(&[Topic::ListenerDisconnect, Topic::ListenerRequest], move |event| match &event.data {
                EventData::ListenerDisconnect { reason, .. } => heard.lock().unwrap().push(reason.clone()),
                EventData::ListenerRequest { api, version, .. } => counted.lock().unwrap().push((*api, *version)),
                other => unreachable!("{other:?}"),
            });
        let budget = ByteBudget::new(bytes);
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { stopped.await.unwrap_or_default() };
        let handles = ListenerHandles { intake, budget: budget.clone(), events, subscriptions: subscriptions.clone() };
        let (serving, stop) = (tokio::spawn(bound.serve(handles, stopped)), Some(stop));
        Self {
            address,
            intake: notebook,
            budget,
            subscriptions,
            close_reasons: ends,
            served,
            stop,
            serving,
            _listening: listening,
        }
    }

    async fn connect(&self) -> TestPeer {
        TestPeer(TcpStream::connect(self.address).await.unwrap())
    }

    /// From another address of the loopback network.
    async fn connect_from(&self, source: &str) -> TestPeer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        TestPeer(socket.connect(self.address).await.unwrap())
    }

    fn begin_shutdown(&mut self) {
        self.stop.take().expect("once").send(()).unwrap();
    }

    /// Waits until this many connections have closed, and returns the reasons.
    async fn close_reasons(&self, count: usize) -> Vec<String> {
        eventually(|| self.close_reasons.lock().unwrap().len() >= count).await;
        self.close_reasons.lock().unwrap().clone()
    }
}

/// Waits for what other tasks do. Fails only if it never happens.
async fn eventually(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.expect("it never happened");
}

/// A client that sends and receives raw bytes.
struct TestPeer<S = TcpStream>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> TestPeer<S> {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// One answer, including its length.
    async fn receive(&mut self) -> Vec<u8> {
        let read = async {
            let mut frame = vec![0; 4];
            self.0.read_exact(&mut frame).await?;
            let len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
            frame.resize(4 + len, 0);
            self.0.read_exact(&mut frame[4..]).await?;
            std::io::Result::Ok(frame)
        };
        timeout(Duration::from_secs(60), read).await.expect("an answer").unwrap()
    }

    async fn ask(&mut self, frame: &[u8]) -> Vec<u8> {
        self.send(frame).await;
        self.receive().await
    }

    /// Whether the listener has closed the connection without another byte.
    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(60), self.0.read_to_end(&mut rest)).await.expect("an end");
        // A reset is an end, too.
        read.is_err() || rest.is_empty()
    }
}

/// A request frame from its parts; `client_id` in the header, tags where the header is flexible.
fn request(key: i16, version: i16, flexible: bool, correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation.to_be_bytes());
    frame.extend(b"\x00\x04test");
    if flexible {
        frame.push(0);
    }
    frame.extend(body);
    framed(&frame)
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// A push of this many bytes, all of them `x`.
fn push_frame(size: usize, correlation: i32) -> Vec<u8> {
    let mut body = GIVEN.as_bytes().to_vec();
    body.extend(0x1234_5678_i32.to_be_bytes());
    body.extend([0, 0]);
    let mut len = size + 1;
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.resize(body.len() + size, b'x');
    body.push(0);
    request(72, 0, true, correlation, &body)
}

fn error_of_push(answer: &[u8]) -> i16 {
    i16::from_be_bytes(answer[13..15].try_into().unwrap())
}

fn correlation(answer: &[u8]) -> i32 {
    i32::from_be_bytes(answer[4..8].try_into().unwrap())
}
