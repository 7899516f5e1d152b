//! The memory cost of a client instance: counts the bytes that the allocator provides while 100,000 clients like Java's
//! request their subscription, each with its own id, client id, address and connection. Prints bytes per instance and
//! fails above the limit. With `cargo bench` one source then invents a million more ids.

#![allow(unsafe_code, reason = "a counting allocator needs it; every call is passed on unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use barnabas_base::InstanceId;
use barnabas_pipeline::admission::{Admission, AdmissionConfig, Quotas, Rates, SubscriptionRule};
use barnabas_pipeline::push::{Client, ConnectionId};

const CLIENTS: u32 = 100_000;
const FLOOD: u64 = 1_000_000;
/// The most bytes of one instance; the goal is 256.
const CAP: usize = 320;

struct CountingAllocator;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    for (principal, connections) in [(None, 1), (Some("User:orders"), 1), (None, 2)] {
        let admission = new_admission(CLIENTS as usize);
        let before = ALLOCATED.load(Ordering::Relaxed);
        for connection in 0..connections {
            (0..CLIENTS).for_each(|n| subscribe(&admission, &java(n, principal), u64::from(n) * 2 + connection));
        }
        let each = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before) / CLIENTS as usize;
        assert_eq!(admission.counts().instances, CLIENTS as usize);
        println!("{each:>5} bytes an instance, of {CLIENTS}, {connections} connections each, principal {principal:?}");
        assert!(connections > 1 || each <= CAP, "{each} bytes an instance; the limit is {CAP}");
    }
    if std::env::args().any(|argument| argument == "--bench") {
        flood();
    }
}

fn flood() {
    let admission = new_admission(16_384);
    (0..1_000).for_each(|n| subscribe(&admission, &java(n, None), u64::from(n)));
    let source = Some(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1)));
    let flooding_client = Arc::new(Client { source, ..Client::default() });
    let began = Instant::now();
    (0..FLOOD).for_each(|_| subscribe(&admission, &flooding_client, u64::MAX - 1));
    let each = began.elapsed().as_nanos() / u128::from(FLOOD);
    let kept = (0..1_000).filter(|n| admission.client(id(*n)).is_some()).count();
    println!("{FLOOD} invented ids from one source, {each} ns each: {kept} of 1000 ordinary clients are still known");
    assert_eq!(kept, 1_000);
}

fn new_admission(capacity: usize) -> Admission {
    let rule = SubscriptionRule::new("all", vec!["*".into()], Some(60_000), &[]).expect("a valid rule");
    let all = Rates { new_clients: u32::MAX, pushes: u32::MAX, push_bytes: None };
    let quotas = Quotas { connection: all, source: all, ..Quotas::default() };
    Admission::new(AdmissionConfig { subscriptions: vec![rule], quotas, capacity, ..AdmissionConfig::default() })
}

fn id(n: u32) -> InstanceId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    InstanceId::from_bytes(bytes)
}

/// As a session creates it: every text is a separate allocation.
fn java(n: u32, principal: Option<&str>) -> Arc<Client> {
    Arc::new(Client {
        instance_id: Some(id(n)),
        client_id: Some(format!("consumer-orders-{n}").into()),
        software_name: Some("apache-kafka-java".into()),
        software_version: Some("4.1.0".into()),
        source: Some((Ipv4Addr::from_bits(0x0a00_0000 + n), 40_000).into()),
        principal: principal.map(Arc::from),
        listener: Some("kafka".into()),
    })
}

fn subscribe(admission: &Admission, client: &Arc<Client>, connection: u64) {
    // A second request comes too early, and still links the connection.
    let _ = admission.subscribe(client, ConnectionId(connection), Instant::now(), SystemTime::now());
}
