//! Which connections serve which client instance.
//!
//! Most instances have one connection, so the oldest is stored in the node and only further ones are stored here.

use std::collections::{BTreeSet, HashMap};

use crate::push::ConnectionId;

/// The most connections that are remembered for one client; ids are not secret, so there must be a limit.
const MAX_CONNECTIONS_PER_CLIENT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct ConnectionIndex {
    /// Every pair of connection and instance.
    all: BTreeSet<(ConnectionId, u32)>,
    /// The further connections of an instance that has more than one, the oldest first.
    additional: HashMap<u32, Vec<ConnectionId>>,
}

/// A connection, or none, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionalConnection(ConnectionId);

impl OptionalConnection {
    pub(super) const NONE: Self = Self(ConnectionId(u64::MAX));

    pub(super) fn new(connection: ConnectionId) -> Self {
        Self(connection)
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl ConnectionIndex {
    /// The instance sent a request through this connection. If there are too many, the oldest is removed.
    pub(super) fn open(&mut self, first: &mut OptionalConnection, connection: ConnectionId, number: u32) {
        if !self.all.insert((connection, number)) {
            return;
        }
        if first.is_none() {
            *first = OptionalConnection(connection);
            return;
        }
        let additional = self.additional.entry(number).or_default();
        additional.push(connection);
        if additional.len() >= MAX_CONNECTIONS_PER_CLIENT {
            let oldest = first.0;
            self.close(first, oldest, number);
        }
    }

    pub(super) fn close(&mut self, first: &mut OptionalConnection, connection: ConnectionId, number: u32) {
        if !self.all.remove(&(connection, number)) {
            return;
        }
        let Some(additional) = self.additional.get_mut(&number) else {
            *first = OptionalConnection::NONE;
            return;
        };
        if first.0 == connection {
            *first = OptionalConnection(additional.remove(0));
        } else {
            additional.retain(|open| *open != connection);
        }
        if additional.is_empty() {
            self.additional.remove(&number);
        }
    }

    /// The instance is gone.
    pub(super) fn forget(&mut self, first: OptionalConnection, number: u32) {
        for connection in self.connections_of(first, number).collect::<Vec<_>>() {
            self.all.remove(&(connection, number));
        }
        self.additional.remove(&number);
    }

    /// The instances that sent a request through this connection.
    pub(super) fn instances_of(&self, connection: ConnectionId) -> Vec<u32> {
        self.all.range((connection, 0)..=(connection, u32::MAX)).map(|(_, number)| *number).collect()
    }

    /// The open connections of an instance, the oldest first.
    pub(super) fn connections_of(&self, first: OptionalConnection, number: u32) -> impl Iterator<Item = ConnectionId> {
        let additional = self.additional.get(&number).into_iter().flatten().copied();
        (!first.is_none()).then_some(first.0).into_iter().chain(additional)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub(super) fn contains(&self, connection: ConnectionId, number: u32) -> bool {
        self.all.contains(&(connection, number))
    }
}
