//! All client instances: bounded in number, forgotten by time, found by connection.
//!
//! Every look-up and change costs at most a logarithm of the number of clients. When the table is full, a stranger (see
//! `standing.rs`) makes room, and only where there is none a client whose push was let pass. Among either the source that
//! holds most, if that is more than its share, gives up its own longest silent instance: a flood of invented ids from one
//! place displaces itself and nobody else, and one from everywhere displaces strangers.

use std::collections::HashMap;

use super::alarms::Alarms;
use super::chain::{self, Chain, Kind, Link};
use super::forgotten::Forgotten;
use super::instance::Instance;
use super::links::Links;
use super::slab::Slab;
use super::source::Sources;
use super::standing::{Both, Standing};
use crate::push::{ConnectionId, InstanceId};

/// Of a node that belongs to no source yet; sources count from one.
const NOBODY: u32 = 0;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) instance: Instance,
    /// Among all.
    used: Link,
    /// Among those of its source.
    mates: Link,
    source: u32,
    /// In whose lists it is.
    standing: Standing,
    /// Its place among the alarms.
    pub(super) alarm: u32,
}

impl Node {
    pub(super) fn link(&self, kind: Kind) -> &Link {
        match kind {
            Kind::All => &self.used,
            Kind::OfSource => &self.mates,
        }
    }

    pub(super) fn link_mut(&mut self, kind: Kind) -> &mut Link {
        match kind {
            Kind::All => &mut self.used,
            Kind::OfSource => &mut self.mates,
        }
    }
}

/// Instances forgotten to make room, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// The one that was silent longest.
    pub silent: u64,
    /// The longest silent one of a source that held more than its share.
    pub crowding: u64,
    /// Because the table was made smaller.
    pub shrunk: u64,
}

pub(super) struct Table {
    capacity: usize,
    nodes: Slab<Node>,
    by_id: HashMap<InstanceId, u32>,
    alarms: Alarms,
    links: Links,
    used: Both<Chain>,
    pub(super) sources: Sources,
    evicted: Evictions,
    /// When one last made room for another.
    made_room: Option<u64>,
    pub(super) forgotten: Forgotten,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: within(capacity),
            nodes: Slab::new(),
            by_id: HashMap::new(),
            alarms: Alarms::default(),
            links: Links::default(),
            used: Both::default(),
            sources: Sources::new(),
            evicted: Evictions::default(),
            made_room: None,
            forgotten: Forgotten::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn evicted(&self) -> Evictions {
        self.evicted
    }

    /// Whether one made room for another in the minute before.
    pub(super) fn is_crowded(&self, now: u64) -> bool {
        self.made_room.is_some_and(|at| now.saturating_sub(at) < 60_000)
    }

    pub(super) fn find(&self, id: InstanceId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Does not count as use.
    pub(super) fn get(&self, number: u32) -> Option<&Instance> {
        self.nodes.get(number).map(|node| &node.instance)
    }

    /// Likewise.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Instance> {
        self.nodes.get_mut(number).map(|node| &mut node.instance)
    }

    /// Adds one whose id is not there yet, forgetting another if need be.
    pub(super) fn insert(&mut self, instance: Instance) -> u32 {
        let standing = self.forgotten.back(instance.id);
        if self.len() >= self.capacity {
            self.make_room();
            self.made_room = Some(instance.last_seen());
        }
        let id = instance.id;
        let node = Node { instance, used: Link::LOOSE, mates: Link::LOOSE, source: NOBODY, standing, alarm: 0 };
        let number = self.nodes.insert(node);
        self.by_id.insert(id, number);
        self.alarms.insert(&mut self.nodes, number);
        self.used.of_mut(standing).push(Kind::All, &mut self.nodes, number);
        number
    }

    /// A request for it came from this source; `request` says what that does to it, its time included.
    pub(super) fn touch(
        &mut self,
        number: u32,
        source: u32,
        connection: ConnectionId,
        request: impl FnOnce(&mut Instance),
    ) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        request(&mut node.instance);
        let standing = node.standing;
        self.links.open(&mut node.instance.first, connection, number);
        self.alarms.moved(&mut self.nodes, number);
        self.move_to_front(number, source, standing);
    }

    /// A push of it was let pass: it is no stranger any more.
    pub(super) fn prove(&mut self, number: u32) {
        let Some(node) = self.nodes.get(number) else { return };
        if node.standing == Standing::Stranger {
            self.move_to_front(number, node.source, Standing::Proven);
        }
    }

    /// To the front of the lists of this source and standing.
    fn move_to_front(&mut self, number: u32, source: u32, standing: Standing) {
        self.leave(number);
        let Some(node) = self.nodes.get_mut(number) else { return };
        let before = std::mem::replace(&mut node.standing, standing);
        self.used.of_mut(before).remove(Kind::All, &mut self.nodes, number);
        self.used.of_mut(standing).push(Kind::All, &mut self.nodes, number);
        self.join(number, source, standing);
    }

    fn join(&mut self, number: u32, source: u32, standing: Standing) {
        let Some(held) = self.sources.get_mut(source) else { return };
        held.chains.of_mut(standing).push(Kind::OfSource, &mut self.nodes, number);
        if let Some(node) = self.nodes.get_mut(number) {
            node.source = source;
        }
        self.sources.count(source, standing, 1);
    }

    fn leave(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        let (source, standing) = (std::mem::replace(&mut node.source, NOBODY), node.standing);
        match self.sources.get_mut(source) {
            Some(held) => {
                held.chains.of_mut(standing).remove(Kind::OfSource, &mut self.nodes, number);
                self.sources.count(source, standing, -1);
            }
            None => drop(chain::unlink(Kind::OfSource, &mut self.nodes, number)),
        }
    }

    /// Forgets a connection; the instances that it served stay, and those that it served alone are told.
    pub(super) fn unlink(&mut self, connection: ConnectionId, mut alone: impl FnMut(&mut Instance)) {
        for number in self.links.served(connection) {
            let Some(node) = self.nodes.get_mut(number) else { continue };
            self.links.close(&mut node.instance.first, connection, number);
            if node.instance.first.is_none() {
                alone(&mut node.instance);
            }
        }
    }

    /// Moves those whose time is over to `expired`, at most so many. Says whether there may be more.
    pub(super) fn take_expired(&mut self, now: u64, most: usize, expired: &mut Vec<Instance>) -> bool {
        for _ in 0..most {
            let first =
                self.alarms.first().filter(|number| self.get(*number).is_some_and(|first| first.expires <= now));
            let Some(number) = first else { return false };
            expired.extend(self.remove(number));
        }
        true
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = within(capacity);
        while self.len() > self.capacity {
            let Some(number) = Standing::ALL.into_iter().find_map(|standing| self.used.of(standing).oldest()) else {
                return;
            };
            self.forget(number);
            self.evicted.shrunk += 1;
        }
    }

    /// The most recently used first, with the number of their open connections.
    pub(super) fn recent(&self) -> impl Iterator<Item = (&Instance, usize)> {
        let mut heads = Standing::ALL.map(|standing| self.used.of(standing).newest());
        let seen = |head: &Option<u32>| head.and_then(|number| self.get(number)).map(Instance::last_seen);
        let numbers = std::iter::from_fn(move || {
            let latest = heads.iter_mut().max_by_key(|head| seen(head))?;
            let number = (*latest)?;
            *latest = chain::older(Kind::All, &self.nodes, number);
            Some(number)
        });
        numbers.filter_map(|number| Some((self.get(number)?, self.connections(number))))
    }

    /// Those of so many places from `from` on, with the number of their open connections; `None` past the end.
    pub(super) fn step(&self, from: u32, places: u32) -> Option<impl Iterator<Item = (&Instance, usize)>> {
        let numbers = from..from.saturating_add(places).min(self.nodes.end());
        let known = |number| Some((self.get(number)?, self.connections(number)));
        (!numbers.is_empty()).then(|| numbers.filter_map(known))
    }

    pub(super) fn connections(&self, number: u32) -> usize {
        self.get(number).map_or(0, |instance| self.links.of(instance.first, number).count())
    }

    fn make_room(&mut self) {
        for standing in Standing::ALL {
            let Some(oldest) = self.used.of(standing).oldest() else { continue };
            let crowding = self.sources.crowding(standing, self.capacity);
            let its_oldest = crowding.and_then(|source| self.sources.get_mut(source)?.chains.of(standing).oldest());
            let count = if its_oldest.is_some() { &mut self.evicted.crowding } else { &mut self.evicted.silent };
            *count += 1;
            self.forget(its_oldest.unwrap_or(oldest));
            return;
        }
    }

    fn forget(&mut self, number: u32) {
        let standing = self.nodes.get(number).map(|node| node.standing);
        if let (Some(standing), Some(instance)) = (standing, self.remove(number)) {
            self.forgotten.keep(instance, standing);
        }
    }

    fn remove(&mut self, number: u32) -> Option<Instance> {
        self.leave(number);
        let standing = self.nodes.get(number)?.standing;
        self.used.of_mut(standing).remove(Kind::All, &mut self.nodes, number);
        self.alarms.remove(&mut self.nodes, number);
        let instance = self.nodes.remove(number)?.instance;
        self.links.forget(instance.first, number);
        self.by_id.remove(&instance.id);
        Some(instance)
    }

    /// Panics unless all views agree.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.len() <= self.capacity);
        assert_eq!((self.alarms.len(), self.recent().count()), (self.len(), self.len()));
        self.alarms.assert_ordered(&self.nodes);
        let mut links = 0;
        for (id, number) in &self.by_id {
            let instance = self.get(*number).expect("what is found is there");
            assert_eq!(instance.id, *id);
            for connection in self.links.of(instance.first, *number) {
                assert!(self.links.knows(connection, *number));
                links += 1;
            }
        }
        assert_eq!(self.links.len(), links);
        assert!(self.sources.assert_consistent() <= self.len());
    }
}

fn within(capacity: usize) -> usize {
    capacity.clamp(1, chain::NONE as usize)
}
