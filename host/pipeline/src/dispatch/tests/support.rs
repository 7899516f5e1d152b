//! Clients, pushes and workers for the tests of dispatch.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::admission::Admitted;
use crate::decode::{self, Decoded, Decoder, Payload};
use crate::dispatch::{Dispatch, Fault, LeaseHolder, LeasedBatch, Outcome, Slot, SlotConfig};
use crate::event::Events;
use crate::push::{Client, DepartedClient, DepartureReason, Ingress, Push};
use barnabas_base::InstanceId;

pub(super) const MS: Duration = Duration::from_millis(1);

/// Client number `n`, known by its instance id.
pub(super) fn client(n: u8) -> Arc<Client> {
    let instance_id = Some(InstanceId::from_bytes([n + 2; 16]));
    Arc::new(Client { instance_id, client_id: Some(format!("client-{n}").into()), ..Client::default() })
}

/// A push of `size` bytes (at least 60), identified by `tag`.
pub(super) fn payload(n: u8, tag: u64, size: usize) -> Payload {
    payload_of(client(n), tag, size)
}

pub(super) fn payload_of(client: Arc<Client>, tag: u64, size: usize) -> Payload {
    received(client, tag, size, SystemTime::UNIX_EPOCH)
}

/// A push of the given software, received at this time.
pub(crate) fn push_at(software: &str, at: SystemTime) -> Payload {
    received(Arc::new(Client { software_name: Some(software.into()), ..Client::default() }), 0, 100, at)
}

fn received(client: Arc<Client>, tag: u64, size: usize, received_at: SystemTime) -> Payload {
    let push = Push {
        client,
        ingress: Ingress::Kafka,
        received_at,
        terminating: false,
        subscription_id: None,
        codec: 0,
        format: crate::push::Format::Protobuf,
        wire: otlp(size),
        push_interval: None,
        node_id: None,
        trace_parent: Some(tag.to_string().into()),
    };
    let admitted = Admitted::declared(push).expect("codec 0 is known");
    match Decoder::new(decode::DecodeConfig::default()).decode(admitted).expect("valid OTLP") {
        Decoded::Payload(payload) => payload,
        Decoded::Empty => panic!("it holds a metric"),
    }
}

/// One gauge with one point, padded to `size` with a field that OTLP does not define.
pub(super) fn otlp(size: usize) -> Bytes {
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2, body.len() as u8], body].concat();
    let time = [&[3 << 3 | 1], &1_700_000_000_000_000_000_u64.to_le_bytes()[..]].concat();
    let value = [&[6 << 3 | 1], &42_i64.to_le_bytes()[..]].concat();
    let gauge = field(5, &field(1, &[time, value].concat()));
    let metric = field(2, &[field(1, b"m"), gauge].concat());
    let mut message = field(1, &field(2, &metric));
    // The length is encoded in five bytes whatever its value, so that every size is possible.
    let filling = size.checked_sub(message.len() + 6).expect("at least 60 bytes");
    message.push(15 << 3 | 2);
    message.extend((0..5).map(|i| (filling >> (7 * i) & 0x7f) as u8 | if i < 4 { 0x80 } else { 0 }));
    message.resize(size, 0);
    message.into()
}

pub(super) fn send(dispatch: &Dispatch, n: u8, tag: u64, size: usize) {
    dispatch.dispatch(payload(n, tag, size));
}

pub(super) fn departed(n: u8) -> DepartedClient {
    DepartedClient { client: client(n), reason: DepartureReason::Disconnected, at: SystemTime::UNIX_EPOCH }
}

/// One slot, and one holder of it with one worker.
pub(super) fn one_slot(config: SlotConfig) -> (Dispatch, Slot, LeaseHolder) {
    let dispatch = Dispatch::new(Events::new());
    let slot = dispatch.open("sink", config).expect("the first of that name");
    let holder = slot.holder(1, 1);
    (dispatch, slot, holder)
}

/// Without linger: a queued push is ready.
pub(super) fn without_linger() -> SlotConfig {
    SlotConfig { linger: Duration::ZERO, ..SlotConfig::default() }
}

/// The batch that a worker gets without waiting.
pub(super) async fn lease_now(slot: &Slot, holder: &LeaseHolder) -> Option<LeasedBatch> {
    tokio::select! {
        biased;
        batch = slot.lease(holder) => batch,
        () = std::future::ready(()) => None,
    }
}

/// The batch that a waiting worker gets; a wait without end fails the test.
pub(super) async fn lease_soon(slot: &Slot, holder: &LeaseHolder) -> Option<LeasedBatch> {
    let hour = Duration::from_secs(3_600);
    tokio::time::timeout(hour, slot.lease(holder))
        .await
        .unwrap_or_else(|_| panic!("no worker woke: {:?}", slot.snapshot()))
}

pub(super) fn tags(batch: &LeasedBatch) -> Vec<u64> {
    batch.deliveries().iter().map(|delivery| tag(&delivery.payload)).collect()
}

pub(super) fn tag(payload: &Payload) -> u64 {
    payload.trace_parent().and_then(|text| text.parse().ok()).expect("every push of a test has its tag")
}

pub(super) fn unavailable() -> Outcome {
    Outcome::Unavailable { retry_after: None, reason: "the sink is down".into() }
}

pub(super) fn trapped() -> Outcome {
    Outcome::Faulted(Fault::Trap, "unreachable".into())
}

/// Asserts that the ledger matches the lanes, and balances.
pub(super) fn assert_consistent(slot: &Slot) {
    slot.inspect(|queue| {
        assert!(queue.ledger.is_balanced(), "{:?}", queue.ledger);
        let queued: usize = queue.lanes.iter().map(|lane| lane.pushes.len()).sum();
        let bytes: usize = queue.lanes.iter().flat_map(|lane| &lane.pushes).map(|entry| entry.bytes()).sum();
        assert_eq!((queue.ledger.queued.pushes, queue.ledger.queued.bytes), (queued as u64, bytes as u64));
        assert_eq!(queue.lanes.iter().map(|lane| lane.bytes).sum::<usize>(), bytes);
        assert_eq!(queue.lanes.iter().map(|lane| lane.notices.len()).sum::<usize>(), queue.notices);
        assert!(
            queue
                .lanes
                .iter()
                .flat_map(|lane| lane.pushes.iter().zip(lane.pushes.iter().skip(1)))
                .all(|(a, b)| a.seq < b.seq)
        );
    });
}

/// Random numbers that a seed reproduces (splitmix64).
pub(super) struct SeededRng(pub(super) u64);

impl SeededRng {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
