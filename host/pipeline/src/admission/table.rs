//! All client instances: bounded in number, expired by time, found by connection.
//!
//! Every look-up and change costs at most a logarithm of the number of clients. When the table is full, an
//! unestablished client (see `reputation.rs`) is evicted, and an established one only if there is no other. Within each
//! kind the source with the most instances, if that is more than its share, loses its own least recently active one. So
//! a flood of invented ids from one source evicts only itself, and a flood from many sources evicts only unestablished
//! clients.

use std::collections::HashMap;

use super::connection_index::ConnectionIndex;
use super::evicted::Evicted;
use super::expiry_heap::ExpiryHeap;
use super::instance::ClientInstance;
use super::lru_list::{self, ListKind, LruLink, LruList};
use super::reputation::{PerReputation, Reputation};
use super::slab::Slab;
use super::source::ClientSources;
use crate::push::ConnectionId;
use barnabas_base::InstanceId;

/// For a node that belongs to no source yet; serials count from one.
const NO_SOURCE: u32 = 0;

#[derive(Debug)]
pub(super) struct ClientNode {
    pub(super) instance: ClientInstance,
    /// In the list of all instances.
    all_link: LruLink,
    /// In the list of its source.
    source_link: LruLink,
    source: u32,
    /// Determines which lists it is in.
    reputation: Reputation,
    /// Its position in the expiry heap.
    pub(super) heap_index: u32,
}

impl ClientNode {
    pub(super) fn link(&self, kind: ListKind) -> &LruLink {
        match kind {
            ListKind::All => &self.all_link,
            ListKind::BySource => &self.source_link,
        }
    }

    pub(super) fn link_mut(&mut self, kind: ListKind) -> &mut LruLink {
        match kind {
            ListKind::All => &mut self.all_link,
            ListKind::BySource => &mut self.source_link,
        }
    }
}

/// Instances evicted because the table was full, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// The least recently active instance of all.
    pub silent: u64,
    /// The least recently active instance of a source that held more than its share.
    pub crowding: u64,
    /// Because the capacity was reduced.
    pub shrunk: u64,
}

pub(super) struct ClientTable {
    capacity: usize,
    nodes: Slab<ClientNode>,
    by_id: HashMap<InstanceId, u32>,
    expiry: ExpiryHeap,
    connections: ConnectionIndex,
    lists: PerReputation<LruList>,
    pub(super) sources: ClientSources,
    evicted: Evictions,
    /// When an instance was last evicted for another.
    last_eviction: Option<u64>,
    pub(super) evicted_clients: Evicted,
}

impl ClientTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: clamp_capacity(capacity),
            nodes: Slab::new(),
            by_id: HashMap::new(),
            expiry: ExpiryHeap::default(),
            connections: ConnectionIndex::default(),
            lists: PerReputation::default(),
            sources: ClientSources::new(),
            evicted: Evictions::default(),
            last_eviction: None,
            evicted_clients: Evicted::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn evicted(&self) -> Evictions {
        self.evicted
    }

    /// Whether an instance was evicted for another within the last minute.
    pub(super) fn evicted_recently(&self, now: u64) -> bool {
        self.last_eviction.is_some_and(|at| now.saturating_sub(at) < 60_000)
    }

    pub(super) fn find(&self, id: InstanceId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Does not count as use.
    pub(super) fn get(&self, number: u32) -> Option<&ClientInstance> {
        self.nodes.get(number).map(|node| &node.instance)
    }

    /// Does not count as use.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut ClientInstance> {
        self.nodes.get_mut(number).map(|node| &mut node.instance)
    }

    /// Inserts an instance whose id is not in the table yet, evicting another if necessary.
    pub(super) fn insert(&mut self, instance: ClientInstance) -> u32 {
        let reputation = self.evicted_clients.reinstate(instance.id);
        if self.len() >= self.capacity {
            self.evict_one();
            self.last_eviction = Some(instance.last_seen());
        }
        let id = instance.id;
        let node = ClientNode {
            instance,
            all_link: LruLink::UNLINKED,
            source_link: LruLink::UNLINKED,
            source: NO_SOURCE,
            reputation,
            heap_index: 0,
        };
        let number = self.nodes.insert(node);
        self.by_id.insert(id, number);
        self.expiry.insert(&mut self.nodes, number);
        self.lists.get_mut(reputation).push(ListKind::All, &mut self.nodes, number);
        number
    }

    /// Records a request from this source; `apply` changes the instance, its expiry included.
    pub(super) fn record_request(
        &mut self,
        number: u32,
        source: u32,
        connection: ConnectionId,
        apply: impl FnOnce(&mut ClientInstance),
    ) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        apply(&mut node.instance);
        let reputation = node.reputation;
        self.connections.open(&mut node.instance.oldest_connection, connection, number);
        self.expiry.update(&mut self.nodes, number);
        self.move_to_front(number, source, reputation);
    }

    /// One of its pushes was admitted: it is established from now on.
    pub(super) fn mark_established(&mut self, number: u32) {
        let Some(node) = self.nodes.get(number) else { return };
        if node.reputation == Reputation::Unestablished {
            self.move_to_front(number, node.source, Reputation::Established);
        }
    }

    /// Moves it to the front of the lists of this source and reputation.
    fn move_to_front(&mut self, number: u32, source: u32, reputation: Reputation) {
        self.unlink_source(number);
        let Some(node) = self.nodes.get_mut(number) else { return };
        let before = std::mem::replace(&mut node.reputation, reputation);
        self.lists.get_mut(before).remove(ListKind::All, &mut self.nodes, number);
        self.lists.get_mut(reputation).push(ListKind::All, &mut self.nodes, number);
        self.link_source(number, source, reputation);
    }

    fn link_source(&mut self, number: u32, source: u32, reputation: Reputation) {
        let Some(source_entry) = self.sources.get_mut(source) else { return };
        source_entry.lists.get_mut(reputation).push(ListKind::BySource, &mut self.nodes, number);
        if let Some(node) = self.nodes.get_mut(number) {
            node.source = source;
        }
        self.sources.adjust_count(source, reputation, 1);
    }

    fn unlink_source(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        let (source, reputation) = (std::mem::replace(&mut node.source, NO_SOURCE), node.reputation);
        match self.sources.get_mut(source) {
            Some(source_entry) => {
                source_entry.lists.get_mut(reputation).remove(ListKind::BySource, &mut self.nodes, number);
                self.sources.adjust_count(source, reputation, -1);
            }
            None => drop(lru_list::unlink(ListKind::BySource, &mut self.nodes, number)),
        }
    }

    /// Removes a connection; `on_last_closed` is called for the instances that had only this one.
    pub(super) fn close_connection(
        &mut self,
        connection: ConnectionId,
        mut on_last_closed: impl FnMut(&mut ClientInstance),
    ) {
        for number in self.connections.instances_of(connection) {
            let Some(node) = self.nodes.get_mut(number) else { continue };
            self.connections.close(&mut node.instance.oldest_connection, connection, number);
            if node.instance.oldest_connection.is_none() {
                on_last_closed(&mut node.instance);
            }
        }
    }

    /// Moves the instances whose time is over to `expired`, at most `limit`. Returns whether there may be more.
    pub(super) fn drain_expired(&mut self, now: u64, limit: usize, expired: &mut Vec<ClientInstance>) -> bool {
        for _ in 0..limit {
            let first =
                self.expiry.first().filter(|number| self.get(*number).is_some_and(|first| first.expires <= now));
            let Some(number) = first else { return false };
            expired.extend(self.remove(number));
        }
        true
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = clamp_capacity(capacity);
        while self.len() > self.capacity {
            let Some(number) = Reputation::ALL.into_iter().find_map(|reputation| self.lists.get(reputation).oldest())
            else {
                return;
            };
            self.evict(number);
            self.evicted.shrunk += 1;
        }
    }

    /// The most recently used first, with the number of their open connections.
    pub(super) fn recent(&self) -> impl Iterator<Item = (&ClientInstance, usize)> {
        let mut heads = Reputation::ALL.map(|reputation| self.lists.get(reputation).newest());
        let seen = |head: &Option<u32>| head.and_then(|number| self.get(number)).map(ClientInstance::last_seen);
        let numbers = std::iter::from_fn(move || {
            let latest = heads.iter_mut().max_by_key(|head| seen(head))?;
            let number = (*latest)?;
            *latest = lru_list::older(ListKind::All, &self.nodes, number);
            Some(number)
        });
        numbers.filter_map(|number| Some((self.get(number)?, self.connection_count(number))))
    }

    /// The instances at `places` indices from `from`, with the number of their open connections; `None` past the end.
    pub(super) fn page(&self, from: u32, places: u32) -> Option<impl Iterator<Item = (&ClientInstance, usize)>> {
        let numbers = from..from.saturating_add(places).min(self.nodes.end());
        let known = |number| Some((self.get(number)?, self.connection_count(number)));
        (!numbers.is_empty()).then(|| numbers.filter_map(known))
    }

    pub(super) fn connection_count(&self, number: u32) -> usize {
        self.get(number)
            .map_or(0, |instance| self.connections.connections_of(instance.oldest_connection, number).count())
    }

    fn evict_one(&mut self) {
        for reputation in Reputation::ALL {
            let Some(oldest) = self.lists.get(reputation).oldest() else { continue };
            let crowding = self.sources.above_its_share(reputation, self.capacity);
            let its_oldest = crowding.and_then(|source| self.sources.get_mut(source)?.lists.get(reputation).oldest());
            let count = if its_oldest.is_some() { &mut self.evicted.crowding } else { &mut self.evicted.silent };
            *count += 1;
            self.evict(its_oldest.unwrap_or(oldest));
            return;
        }
    }

    fn evict(&mut self, number: u32) {
        let reputation = self.nodes.get(number).map(|node| node.reputation);
        if let (Some(reputation), Some(instance)) = (reputation, self.remove(number)) {
            self.evicted_clients.add(instance, reputation);
        }
    }

    fn remove(&mut self, number: u32) -> Option<ClientInstance> {
        self.unlink_source(number);
        let reputation = self.nodes.get(number)?.reputation;
        self.lists.get_mut(reputation).remove(ListKind::All, &mut self.nodes, number);
        self.expiry.remove(&mut self.nodes, number);
        let instance = self.nodes.remove(number)?.instance;
        self.connections.forget(instance.oldest_connection, number);
        self.by_id.remove(&instance.id);
        Some(instance)
    }

    /// Panics unless all views agree.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.len() <= self.capacity);
        assert_eq!((self.expiry.len(), self.recent().count()), (self.len(), self.len()));
        self.expiry.assert_ordered(&self.nodes);
        let mut links = 0;
        for (id, number) in &self.by_id {
            let instance = self.get(*number).expect("an indexed instance exists");
            assert_eq!(instance.id, *id);
            for connection in self.connections.connections_of(instance.oldest_connection, *number) {
                assert!(self.connections.contains(connection, *number));
                links += 1;
            }
        }
        assert_eq!(self.connections.len(), links);
        assert!(self.sources.assert_consistent() <= self.len());
    }
}

fn clamp_capacity(capacity: usize) -> usize {
    capacity.clamp(1, lru_list::NONE as usize)
}
