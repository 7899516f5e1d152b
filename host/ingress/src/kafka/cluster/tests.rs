//! Valid node lists, and lists that would leave a client without a reachable host.

use super::*;

fn node(id: i32, host: &str, port: u16) -> ClusterNode {
    ClusterNode { id, host: host.into(), port }
}

fn config(nodes: &[(i32, &str, u16)]) -> KafkaListenerConfig {
    let mut config = KafkaListenerConfig::new("front", "0.0.0.0:9092".parse().unwrap());
    config.node_id = 2;
    config.nodes = nodes.iter().map(|(id, host, port)| node(*id, host, *port)).collect();
    config
}

fn advertised_to(config: &KafkaListenerConfig, peer: &str) -> (Vec<(i32, String, u16)>, i32) {
    let own = advertise::address_for(own_address(config), "10.0.0.2:9092".parse().unwrap(), peer.parse().unwrap());
    let cluster = cluster_for(config, &own, Some(peer.parse().unwrap()));
    let brokers = cluster.brokers.iter().map(|b| (b.node_id, b.host.to_owned(), b.port)).collect();
    (brokers, cluster.controller())
}

#[test]
fn all_hosts_advertise_the_same_brokers_and_controller() {
    let listed = [(3, "b3", 9092), (1, "b1", 9092), (2, "b2", 9092)];
    let expected = [(1, "b1".to_owned(), 9092), (2, "b2".to_owned(), 9092), (3, "b3".to_owned(), 9092)];
    for id in 1..=3 {
        let mut config = config(&listed);
        config.node_id = id;
        assert_eq!(config.check(), Ok(()));
        assert_eq!(advertised_to(&config, "10.1.1.1:5"), (expected.to_vec(), 1));
    }
}

#[test]
fn this_host_is_added_where_it_is_not_listed() {
    let mut config = config(&[(3, "b3", 9092)]);
    assert_eq!(config.check(), Ok(()));
    let (brokers, controller) = advertised_to(&config, "10.1.1.1:5");
    assert_eq!((brokers[0].clone(), brokers.len(), controller), ((2, "10.0.0.2".to_owned(), 9092), 2, 2));
    config.advertised = Some(("push.example".into(), 443));
    assert_eq!(config.check(), Ok(()));
    assert_eq!(advertised_to(&config, "10.1.1.1:5").0[0], (2, "push.example".to_owned(), 443));
    assert_eq!(config.describe_advertised(), "push.example:443, and node 3 at b3:9092");
}

#[test]
fn the_hosts_own_entry_is_advertised() {
    let mut config = config(&[(2, "b2", 9093), (3, "b3", 9092)]);
    assert_eq!(advertised_to(&config, "10.1.1.1:5").0[0], (2, "b2".to_owned(), 9093));
    config.advertised = Some(("b2".into(), 9093));
    assert_eq!(config.check(), Ok(()));
    config.advertised = Some(("b2".into(), 9092));
    let words = config.check().expect_err("two addresses for this host");
    assert!(words.contains("front") && words.contains("b2:9092") && words.contains("b2:9093"), "{words}");
}

#[test]
fn a_list_with_unreachable_nodes_is_refused() {
    for wrong in [
        &[(1, "a", 1), (1, "b", 1)][..],
        &[(1, "a", 1), (3, "A", 1)],
        &[(-1, "a", 1)],
        &[(1, "", 1)],
        &[(1, "0.0.0.0", 1)],
        &[(1, "localhost", 1)],
        &[(1, "a", 0)],
    ] {
        let words = config(wrong).check().expect_err("wrong");
        assert!(words.contains("front") && words.contains("node"), "{words}");
    }
    let mut config = config(&[(1, "push.example", 443)]);
    config.advertised = Some(("push.example".into(), 443));
    assert!(config.check().is_err(), "two hosts at one address");
}

#[test]
fn the_number_of_nodes_obeyed() {
    let mut config = config(&[]);
    config.nodes = (0..100).map(|id| node(id, &format!("b{id}"), 9092)).collect();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(advertised_to(&config, "10.1.1.1:5").0.len(), MAX_NODES);
}

#[test]
fn the_number_of_nodes_violated() {
    let mut config = config(&[]);
    config.nodes = (0..101).map(|id| node(id, &format!("b{id}"), 9092)).collect();
    assert!(config.check().expect_err("too many").contains("101 nodes"));
}

#[test]
fn a_loopback_node_is_advertised_only_to_local_clients() {
    let mut config = config(&[(1, "127.0.0.1", 9093)]);
    config.bind = "127.0.0.1:9092".parse().unwrap();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(advertised_to(&config, "127.0.0.1:5").0.len(), 2);
    // Behind a load balancer on this machine.
    assert_eq!(advertised_to(&config, "203.0.113.7:5").0, [(2, "10.0.0.2".to_owned(), 9092)]);
}
