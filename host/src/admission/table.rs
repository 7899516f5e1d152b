//! All client instances: bounded in number, forgotten by time, found by connection.
//!
//! Every look-up and change costs at most a logarithm of the number of clients.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Instant, SystemTime};

use lru::LruCache;

use super::instance::Instance;
use crate::push::ConnectionId;
use crate::push::InstanceId;

/// Connections remembered for one client; ids are not secret, so there must be an end.
const CONNECTIONS: usize = 8;

pub(super) struct Table {
    instances: LruCache<InstanceId, Instance>,
    /// When to look at each instance. Requests only move `expires`; the alarm follows when it goes off.
    alarms: BTreeSet<(Instant, InstanceId)>,
    /// The open connections of each instance, by connection.
    links: BTreeSet<(ConnectionId, InstanceId)>,
    evicted: u64,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            instances: LruCache::sparse(at_least_one(capacity)),
            alarms: BTreeSet::new(),
            links: BTreeSet::new(),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.instances.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Does not count as use.
    pub(super) fn get_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.peek_mut(&id)
    }

    /// Adds one that is not there yet, forgetting the longest silent one if need be.
    pub(super) fn insert(&mut self, id: InstanceId, instance: Instance) {
        if self.instances.len() >= self.instances.cap().get() {
            self.evict();
        }
        self.alarms.insert((instance.alarm, id));
        self.instances.put(id, instance);
    }

    /// A request for one that is there.
    pub(super) fn touch(
        &mut self,
        id: InstanceId,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> &mut Instance {
        let instance = self.instances.get_mut(&id).expect("it was found or made just before, under the same lock");
        // A shorter interval after a change of configuration: the alarm must not come too late.
        instance.arm(now, wall);
        if instance.expires < instance.alarm {
            self.alarms.remove(&(instance.alarm, id));
            instance.alarm = instance.expires;
            self.alarms.insert((instance.alarm, id));
        }
        if self.links.insert((connection, id)) {
            instance.connections.push(connection);
            if instance.connections.len() > CONNECTIONS {
                let oldest = instance.connections.remove(0);
                self.links.remove(&(oldest, id));
            }
        }
        instance
    }

    /// Forgets a connection; the instances that it served stay.
    pub(super) fn unlink(&mut self, connection: ConnectionId) -> Vec<InstanceId> {
        let (least, most) = (InstanceId::NIL, InstanceId::from_bytes([0xff; 16]));
        let range = (connection, least)..=(connection, most);
        let served: Vec<InstanceId> = self.links.range(range).map(|(_, id)| *id).collect();
        for id in &served {
            self.links.remove(&(connection, *id));
            if let Some(instance) = self.instances.peek_mut(id) {
                instance.connections.retain(|open| *open != connection);
            }
        }
        served
    }

    /// Moves those whose time is over to `expired`, looking at most at `looks` whose alarm went off. Says whether there
    /// may be more.
    pub(super) fn take_expired(&mut self, now: Instant, looks: usize, expired: &mut Vec<Instance>) -> bool {
        for _ in 0..looks {
            let Some(&(alarm, id)) = self.alarms.first().filter(|(alarm, _)| *alarm <= now) else { return false };
            self.alarms.remove(&(alarm, id));
            let Some(instance) = self.instances.peek_mut(&id) else { continue };
            if instance.expires <= now {
                expired.extend(self.remove(id));
            } else {
                instance.alarm = instance.expires;
                self.alarms.insert((instance.alarm, id));
            }
        }
        true
    }

    pub(super) fn resize(&mut self, capacity: usize) {
        let capacity = at_least_one(capacity);
        while self.instances.len() > capacity.get() {
            self.evict();
        }
        self.instances.resize(capacity);
    }

    /// The most recently used first.
    pub(super) fn recent(&self, limit: usize) -> impl Iterator<Item = &Instance> {
        self.instances.iter().take(limit).map(|(_, instance)| instance)
    }

    /// Those with an open connection.
    pub(super) fn connected(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().map(|(_, instance)| instance).filter(|instance| !instance.connections.is_empty())
    }

    fn evict(&mut self) {
        if let Some(id) = self.instances.peek_lru().map(|(id, _)| *id) {
            self.remove(id);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, id: InstanceId) -> Option<Instance> {
        let instance = self.instances.pop(&id)?;
        self.alarms.remove(&(instance.alarm, id));
        for connection in &instance.connections {
            self.links.remove(&(*connection, id));
        }
        Some(instance)
    }

    /// Panics unless the three views agree.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        assert!(self.len() <= self.instances.cap().get());
        assert_eq!(self.alarms.len(), self.len());
        let links: usize = self.instances.iter().map(|(_, instance)| instance.connections.len()).sum();
        assert_eq!(self.links.len(), links);
        for (id, instance) in &self.instances {
            assert!(self.alarms.contains(&(instance.alarm, *id)));
            assert!(instance.alarm <= instance.expires);
            assert!(instance.connections.iter().all(|connection| self.links.contains(&(*connection, *id))));
        }
    }
}

fn at_least_one(capacity: usize) -> NonZeroUsize {
    NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN)
}
