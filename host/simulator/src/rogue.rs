//! Clients that misbehave on purpose. Their responses are counted separately, and are not faults of the broker.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::time::sleep;

use super::RunContext;
use super::connection::{connect, run_over};
use super::rng::SimulationRng;
use barnabas_base::{Codec, InstanceId};
use barnabas_kafka_client::{ErrorCode, KafkaClient, TelemetryPush, TelemetrySubscription};

/// Pause between two requests of clients that do not wait for the push interval.
const PAUSE: Duration = Duration::from_millis(250);
/// Maximum time to wait for a push interval.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Decompressed size of a decompression bomb: more than any broker accepts, but small for this program.
const BOMB: usize = 32 << 20;
/// No codec has this id.
const NO_CODEC: i8 = 9;

/// A field key whose varint never ends, which is invalid protobuf.
static GARBAGE: [u8; 64] = [0xff; 64];
static BOMB_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| zstd::bulk::compress(&vec![0; BOMB], 1).expect("zeros can be compressed"));

/// A kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misbehaviour {
    /// A new instance id with each request.
    NewIds,
    /// Pushes without waiting for the interval.
    TooSoon,
    /// A payload that is not OTLP.
    Garbage,
    /// A kilobyte that decompresses to 32 MiB.
    Bomb,
    /// Pushes with a wrong subscription id.
    WrongSubscription,
    /// Sends half of a frame, then closes the connection.
    HalfFrame,
    /// A compression type that does not exist.
    UnknownCodec,
    /// Pushes after a terminating push.
    AfterTerminating,
}

impl Misbehaviour {
    /// All kinds, in the order in which they are assigned to connections.
    pub const ALL: [Self; 8] = [
        Self::NewIds,
        Self::TooSoon,
        Self::Garbage,
        Self::Bomb,
        Self::WrongSubscription,
        Self::HalfFrame,
        Self::UnknownCodec,
        Self::AfterTerminating,
    ];

    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewIds => "new-ids",
            Self::TooSoon => "too-soon",
            Self::Garbage => "garbage",
            Self::Bomb => "bomb",
            Self::WrongSubscription => "wrong-subscription",
            Self::HalfFrame => "half-frame",
            Self::UnknownCodec => "unknown-codec",
            Self::AfterTerminating => "after-terminating",
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs one misbehaving connection until the run is over.
pub(super) async fn run(shared: Arc<RunContext>, number: usize, ordinal: usize, mut leaving: watch::Receiver<bool>) {
    let mode =
        Misbehaviour::ALL.into_iter().cycle().nth(ordinal % Misbehaviour::ALL.len()).expect("a cycle is infinite");
    let random = SimulationRng::new(!shared.options.seed, number as u64);
    let mut rogue = Rogue { shared, number, mode, random, subscription: None };
    let mischief = async {
        loop {
            // Reconnects, however the connection ended.
            let end = rogue.misbehave().await.map_or_else(|_| "closed by the broker", |()| "closed by the client");
            rogue.shared.tally.count_misbehaviour(mode, end.into());
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = run_over(&mut leaving) => {}
        () = mischief => {}
    }
}

struct Rogue {
    shared: Arc<RunContext>,
    number: usize,
    mode: Misbehaviour,
    random: SimulationRng,
    subscription: Option<TelemetrySubscription>,
}

impl Rogue {
    async fn misbehave(&mut self) -> Result<()> {
        let mut client = connect(&self.shared, self.number, &format!("simulated-rogue-{}", self.mode)).await?;
        loop {
            match self.mode {
                Misbehaviour::NewIds => self.new_ids(&mut client).await?,
                Misbehaviour::HalfFrame => return self.half_frame(&mut client).await,
                _ => self.push_wrongly(&mut client).await?,
            }
            sleep(self.pause()).await;
        }
    }

    /// A push that is to be refused because of its content must wait for the interval, or it is refused as too early.
    fn pause(&self) -> Duration {
        let paced = !matches!(self.mode, Misbehaviour::NewIds | Misbehaviour::TooSoon);
        let interval = self.subscription.as_ref().filter(|_| paced).map(TelemetrySubscription::push_interval);
        interval.map_or(PAUSE, |interval| interval.clamp(PAUSE, LONGEST_WAIT))
    }

    async fn new_ids(&mut self, client: &mut KafkaClient) -> Result<()> {
        let answer = client.get_subscription(self.id()).await?;
        self.answered(answer.map(drop));
        let push = TelemetryPush {
            instance_id: self.id(),
            subscription_id: 0,
            terminating: false,
            codec: 0,
            metrics: &GARBAGE,
        };
        let answer = client.push(&push).await?;
        self.answered(answer);
        Ok(())
    }

    async fn half_frame(&mut self, client: &mut KafkaClient) -> Result<()> {
        // A frame of 100 bytes, of which only 12 are sent.
        client
            .write(&[0, 0, 0, 100, 0, 72, 0, 0, 0, 0, 0, 9, 0, 1, b'x', 0])
            .await
            .context("cannot send half of a frame")
    }

    /// Requests a subscription first, if there is none, or if the last one ended with a terminating push.
    async fn push_wrongly(&mut self, client: &mut KafkaClient) -> Result<()> {
        if self.subscription.is_none() || self.mode == Misbehaviour::AfterTerminating {
            match client.get_subscription(InstanceId::NIL).await? {
                Ok(given_subscription) => self.subscription = Some(given_subscription),
                Err(refused) => {
                    self.answered(Err(refused));
                    return Ok(());
                }
            }
        }
        let Some(given_subscription) = &self.subscription else { return Ok(()) };
        let proper = TelemetryPush {
            instance_id: given_subscription.instance_id,
            subscription_id: given_subscription.id,
            terminating: false,
            codec: Codec::None.id(),
            metrics: &[],
        };
        let pushes = match self.mode {
            Misbehaviour::Garbage => vec![TelemetryPush { metrics: &GARBAGE, ..proper }],
            Misbehaviour::Bomb => vec![TelemetryPush { codec: Codec::Zstd.id(), metrics: &BOMB_BYTES, ..proper }],
            Misbehaviour::WrongSubscription => {
                vec![TelemetryPush { subscription_id: given_subscription.id.wrapping_add(1), ..proper }]
            }
            Misbehaviour::UnknownCodec => vec![TelemetryPush { codec: NO_CODEC, metrics: &GARBAGE, ..proper }],
            Misbehaviour::AfterTerminating => vec![TelemetryPush { terminating: true, ..proper }, proper],
            _ => vec![proper; 3],
        };
        for push in pushes {
            let answer = client.push(&push).await?;
            self.answered(answer);
        }
        Ok(())
    }

    fn answered(&self, answer: Result<(), ErrorCode>) {
        let words = answer.map_or_else(|error| error.to_string(), |()| "NONE".into());
        self.shared.tally.count_misbehaviour(self.mode, words);
    }

    fn id(&mut self) -> InstanceId {
        InstanceId::from_bytes(self.random.bytes())
    }
}
