//! Which connections serve which instance.
//!
//! Most instances have one connection, so the first is kept in the node and only others here.

use std::collections::{BTreeSet, HashMap};

use crate::push::ConnectionId;

/// Connections remembered for one client; ids are not secret, so there must be an end.
const CONNECTIONS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Links {
    /// Every link, by connection.
    all: BTreeSet<(ConnectionId, u32)>,
    /// Of an instance with more than one: the others, the oldest first.
    others: HashMap<u32, Vec<ConnectionId>>,
}

/// A connection, or none; eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Through(ConnectionId);

impl Through {
    pub(super) const NONE: Self = Self(ConnectionId(u64::MAX));

    pub(super) fn of(connection: ConnectionId) -> Self {
        Self(connection)
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Links {
    /// The instance spoke through this connection. The oldest is forgotten where there are too many.
    pub(super) fn open(&mut self, first: &mut Through, connection: ConnectionId, number: u32) {
        if !self.all.insert((connection, number)) {
            return;
        }
        if first.is_none() {
            *first = Through(connection);
            return;
        }
        let others = self.others.entry(number).or_default();
        others.push(connection);
        if others.len() >= CONNECTIONS {
            let oldest = first.0;
            self.close(first, oldest, number);
        }
    }

    pub(super) fn close(&mut self, first: &mut Through, connection: ConnectionId, number: u32) {
        if !self.all.remove(&(connection, number)) {
            return;
        }
        let Some(others) = self.others.get_mut(&number) else {
            *first = Through::NONE;
            return;
        };
        if first.0 == connection {
            *first = Through(others.remove(0));
        } else {
            others.retain(|open| *open != connection);
        }
        if others.is_empty() {
            self.others.remove(&number);
        }
    }

    /// The instance is gone.
    pub(super) fn forget(&mut self, first: Through, number: u32) {
        for connection in self.of(first, number).collect::<Vec<_>>() {
            self.all.remove(&(connection, number));
        }
        self.others.remove(&number);
    }

    /// The instances that spoke through this connection.
    pub(super) fn served(&self, connection: ConnectionId) -> Vec<u32> {
        self.all.range((connection, 0)..=(connection, u32::MAX)).map(|(_, number)| *number).collect()
    }

    /// Open connections of an instance, the oldest first.
    pub(super) fn of(&self, first: Through, number: u32) -> impl Iterator<Item = ConnectionId> {
        let others = self.others.get(&number).into_iter().flatten().copied();
        (!first.is_none()).then_some(first.0).into_iter().chain(others)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub(super) fn knows(&self, connection: ConnectionId, number: u32) -> bool {
        self.all.contains(&(connection, number))
    }
}
