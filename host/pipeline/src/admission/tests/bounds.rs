//! What bounds the client table.

use super::*;

#[test]
fn capacity_obeyed() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 3, ..config(&["*"]) });
    (0..3).for_each(|_| drop(fixture.join()));
    assert_eq!(fixture.admission.counts(), ClientCounts { instances: 3, ..ClientCounts::default() });
}

#[test]
fn capacity_violated() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 3, ..config(&["*"]) });
    let clients: Vec<_> = (0..3).map(|_| fixture.join()).collect();
    fixture.push(push(&clients[0])).expect("so it is established");
    fixture.join();
    assert_eq!(
        fixture.admission.counts(),
        ClientCounts { instances: 3, evicted: Evictions { silent: 1, ..Evictions::default() }, unreported: 0 }
    );
    let known: Vec<_> = fixture.admission.clients(9).iter().filter_map(|known| known.client.instance_id).collect();
    assert!(known.contains(&clients[0].0.instance_id.expect("it joined")));
    assert!(!known.contains(&clients[1].0.instance_id.expect("it joined")));
    fixture.admission.reconfigure(AdmissionConfig { capacity: 1, ..config(&["*"]) });
    assert_eq!(
        fixture.admission.counts(),
        ClientCounts {
            instances: 1,
            evicted: Evictions { silent: 1, shrunk: 2, ..Evictions::default() },
            unreported: 0
        }
    );
}

fn from(n: u32) -> Arc<Client> {
    let source = Some(std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 1)));
    Arc::new(Client { source, ..Client::default() })
}

/// `benches/instances.rs` does it with a million.
const FLOOD: u64 = 100_000;

#[test]
fn a_flood_from_one_source_evicts_no_other_source() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 16_384, ..config(&["*"]) });
    let get = |client: &Arc<Client>, connection| {
        let answer = fixture.admission.subscribe(client, ConnectionId(connection), fixture.now, WALL);
        answer.expect("a first Get").instance_id
    };
    let ordinary: Vec<_> = (1..=1_000).map(|n| get(&from(n), n.into())).collect();
    let flood = from(0);
    (0..FLOOD).for_each(|_| assert!(!get(&flood, 0).is_reserved()));
    assert!(ordinary.iter().all(|id| fixture.admission.client(*id).is_some()));
    let evicted = Evictions { crowding: FLOOD + 1_000 - 16_384, ..Evictions::default() };
    assert_eq!(fixture.admission.counts(), ClientCounts { instances: 16_384, evicted, unreported: 0 });
    let late = get(&from(2_000), 2_000);
    assert!(fixture.admission.client(late).is_some(), "a client that arrives later is inserted");
    fixture.admission.lock().table.assert_consistent();
}

#[test]
fn among_equal_sources_the_longest_silent_client_is_evicted() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 4, ..config(&["*"]) });
    for n in [1, 1, 2, 2, 3] {
        fixture.admission.subscribe(&from(n), ConnectionId(n.into()), fixture.now, WALL).expect("a first Get");
    }
    let evicted = Evictions { silent: 1, ..Evictions::default() };
    assert_eq!(fixture.admission.counts(), ClientCounts { instances: 4, evicted, unreported: 0 });
    assert!(fixture.admission.clients(9).iter().filter(|known| known.client.source == from(1).source).count() == 1);
}

#[test]
fn instances_of_an_evicted_source_stay() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 8_192, ..config(&["*"]) });
    let ids: Vec<_> = (0..6_000)
        .map(|n| fixture.admission.subscribe(&from(n), ConnectionId(n.into()), fixture.now, WALL).expect("a first Get"))
        .collect();
    fixture.admission.lock().table.assert_consistent();
    fixture.after(INTERVAL);
    for (n, subscription) in (0..6_000).zip(&ids) {
        let client = Client { instance_id: Some(subscription.instance_id), ..Client::clone(&from(n)) };
        let again = fixture.admission.subscribe(&Arc::new(client), ConnectionId(n.into()), fixture.now, WALL);
        assert_eq!(again.map(|again| again.id), Ok(subscription.id));
    }
    fixture.admission.lock().table.assert_consistent();
    fixture.admission.reconfigure(AdmissionConfig { capacity: 10, ..config(&["*"]) });
    fixture.admission.lock().table.assert_consistent();
}

/// As many clients as may share a company's address, each with an admitted push.
fn crowd(fixture: &AdmissionFixture, size: u64) -> Vec<InstanceId> {
    let home = from(1);
    let join = |n| {
        let subscription = fixture.admission.subscribe(&home, ConnectionId(n), fixture.now, WALL).expect("a first Get");
        let client = Client { instance_id: Some(subscription.instance_id), ..Client::clone(&home) };
        fixture
            .admission
            .admit(push(&(Arc::new(client), subscription.id)), ConnectionId(n), fixture.now)
            .expect("a first push");
        subscription.instance_id
    };
    (0..size).map(join).collect()
}

#[test]
fn a_flood_from_many_sources_evicts_no_established_client() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 2_000, ..config(&["*"]) });
    let ids = crowd(&fixture, 500);
    fixture.after(Duration::from_secs(1));
    for n in 2..8_000 {
        fixture.admission.subscribe(&from(n), ConnectionId(n.into()), fixture.now, WALL).expect("a first Get");
    }
    assert!(
        ids.iter().all(|id| fixture.admission.client(*id).is_some()),
        "although their source holds by far the most"
    );
    fixture.admission.lock().table.assert_consistent();
    fixture.admission.reconfigure(AdmissionConfig { capacity: 500, ..config(&["*"]) });
    assert!(
        ids.iter().all(|id| fixture.admission.client(*id).is_some()),
        "unestablished clients are also evicted first when it shrinks"
    );
    let listed = fixture.admission.clients(1_000);
    assert_eq!(listed.len(), 500);
}

#[test]
fn without_unestablished_clients_the_source_above_its_share_is_evicted_from() {
    let fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 4, ..config(&["*"]) });
    crowd(&fixture, 3);
    let other = fixture.admission.subscribe(&from(2), ConnectionId(9), fixture.now, WALL).expect("a first Get");
    let client = Arc::new(Client { instance_id: Some(other.instance_id), ..Client::clone(&from(2)) });
    fixture.admission.admit(push(&(client, other.id)), ConnectionId(9), fixture.now).expect("a first push");
    fixture.admission.subscribe(&from(3), ConnectionId(10), fixture.now, WALL).expect("a first Get");
    let evicted = Evictions { crowding: 1, ..Evictions::default() };
    assert_eq!(fixture.admission.counts().evicted, evicted);
    assert!(fixture.admission.client(other.instance_id).is_some());
}

#[test]
fn clients_of_either_reputation_are_listed_by_their_latest_request() {
    let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 9, ..config(&["*"]) });
    let order: Vec<_> = (0..6u64)
        .map(|n| {
            fixture.after(Duration::from_millis(1));
            let client = fixture.join();
            if n % 2 == 0 {
                fixture.push(push(&client)).expect("a first push");
            }
            client.0.instance_id
        })
        .collect();
    let listed: Vec<_> = fixture.admission.clients(5).iter().map(|known| known.client.instance_id).collect();
    assert_eq!(listed, order.into_iter().rev().take(5).collect::<Vec<_>>());
}
