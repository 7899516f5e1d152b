//! Two hosts behind one address, each configured with both.

use std::net::SocketAddr;

use barnabas::config::raw::{ListenerProtocol, RawConfig, RawNode};

/// Ports that were free a moment ago: each host must be configured with the other's port before the other has started.
pub fn free_ports() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

/// Configures host `id` (1 or 2) of the two at these addresses.
pub fn configure(written: &mut RawConfig, id: i32, at: [SocketAddr; 2]) {
    written.node_id = id;
    written.cluster_id = "shared".into();
    for listener in
        written.listeners.iter_mut().filter(|listener| listener.protocol == ListenerProtocol::KafkaPlaintext)
    {
        listener.bind = at[id as usize - 1];
    }
    let node = |(id, at): (i32, SocketAddr)| RawNode { id, host: at.ip().to_string(), port: at.port(), listener: None };
    written.nodes = (1..).zip(at).map(node).collect();
}
