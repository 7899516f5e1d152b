//! Many workers and many listeners at the same time, on real threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::support::*;
use crate::dispatch::{Backoff, Dispatch, Outcome, Slot, SlotConfig};
use crate::event::Events;

const LISTENERS: u64 = 4;
const PUSHES: u64 = 1_500;
const CLIENTS: u64 = 10;

type DeliveredTags = Arc<Mutex<BTreeMap<u64, Vec<u64>>>>;

/// Leases batches until the slot is closed, with random outcomes.
async fn work(slot: Slot, generation: u64, sink: DeliveredTags) {
    let holder = slot.holder(generation, 3);
    let mut dice = SeededRng(generation);
    while let Some(batch) = slot.lease(&holder).await {
        match dice.below(8) {
            0 => drop(batch),
            1 => _ = batch.settle(unavailable()),
            2 if batch.len() > 1 => _ = batch.settle(Outcome::TooLarge),
            3 => _ = batch.settle(Outcome::Other("?".into())),
            _ => {
                tokio::task::yield_now().await;
                let taken = tags(&batch);
                // Recorded before it is settled, while the lane still belongs to this worker.
                let mut sink = sink.lock().unwrap();
                taken.iter().for_each(|tag| sink.entry(tag % (LISTENERS * CLIENTS)).or_default().push(*tag));
                batch.settle(Outcome::Taken);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_and_listeners_keep_order_and_lose_nothing() {
    let dispatch = Dispatch::new(Events::new());
    let config = SlotConfig {
        linger: MS,
        batch_pushes: 16,
        max_unexplained_failures: u32::MAX,
        backoff: Backoff { min: MS / 10, max: MS },
        ..SlotConfig::default()
    };
    let slot = dispatch.open("sink", config).unwrap();
    let sink = DeliveredTags::default();
    let workers: Vec<_> = (1..=6).map(|n| tokio::spawn(work(slot.clone(), n, sink.clone()))).collect();
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|door| {
            let dispatch = dispatch.clone();
            tokio::task::spawn_blocking(move || {
                for i in 0..PUSHES {
                    // Each client has one listener, and its tags ascend.
                    let n = i % CLIENTS * LISTENERS + door;
                    dispatch.dispatch(payload(n as u8, i / CLIENTS * LISTENERS * CLIENTS + n, 100));
                }
            })
        })
        .collect();
    for door in listeners {
        door.await.unwrap();
    }
    assert!(slot.drain(Instant::now() + Duration::from_secs(300)).await, "stuck: {:?}", slot.snapshot());
    dispatch.close_all();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_consistent(&slot);
    let ledger = slot.ledger();
    assert_eq!((ledger.accepted.pushes, ledger.delivered.pushes), (LISTENERS * PUSHES, LISTENERS * PUSHES));
    let sink = sink.lock().unwrap();
    assert_eq!(sink.len() as u64, LISTENERS * CLIENTS);
    for (client, tags) in sink.iter() {
        assert!(tags.is_sorted_by(|a, b| a < b), "client {client}: {tags:?}");
        assert_eq!(tags.len() as u64, PUSHES / CLIENTS, "client {client}");
    }
}
