//! Which instance expires next: a binary heap of numbers, each node knowing its place in it.
//!
//! Four bytes an instance and four in its node. Any change costs at most a logarithm of their number.

use super::slab::Slab;
use super::table::Node;

#[derive(Debug, Default)]
pub(super) struct Alarms(Vec<u32>);

impl Alarms {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one that expires first.
    pub(super) fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    pub(super) fn insert(&mut self, nodes: &mut Slab<Node>, number: u32) {
        if self.0.len() == self.0.capacity() {
            // By an eighth: a table of many is no third empty.
            self.0.reserve_exact(self.0.len() / 8 + 64);
        }
        self.0.push(number);
        self.put(nodes, self.0.len() - 1, number);
        self.rise(nodes, self.0.len() - 1);
    }

    pub(super) fn remove(&mut self, nodes: &mut Slab<Node>, number: u32) {
        let place = place(nodes, number);
        let Some(last) = self.0.pop() else { return };
        if place < self.0.len() {
            self.put(nodes, place, last);
            self.moved(nodes, last);
        }
    }

    /// The time of this one has changed.
    pub(super) fn moved(&mut self, nodes: &mut Slab<Node>, number: u32) {
        let place = self.rise(nodes, place(nodes, number));
        self.sink(nodes, place);
    }

    fn rise(&mut self, nodes: &mut Slab<Node>, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.time(nodes, parent) <= self.time(nodes, place) {
                break;
            }
            self.swap(nodes, parent, place);
            place = parent;
        }
        place
    }

    fn sink(&mut self, nodes: &mut Slab<Node>, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let Some(least) = children.into_iter().min_by_key(|child| self.time(nodes, *child)) else { return };
            if self.time(nodes, least) >= self.time(nodes, place) {
                return;
            }
            self.swap(nodes, least, place);
            place = least;
        }
    }

    fn swap(&mut self, nodes: &mut Slab<Node>, one: usize, other: usize) {
        let (Some(first), Some(second)) = (self.0.get(one).copied(), self.0.get(other).copied()) else { return };
        self.put(nodes, one, second);
        self.put(nodes, other, first);
    }

    fn put(&mut self, nodes: &mut Slab<Node>, place: usize, number: u32) {
        if let (Some(slot), Some(node)) = (self.0.get_mut(place), nodes.get_mut(number)) {
            *slot = number;
            node.alarm = place as u32;
        }
    }

    /// Beyond the end is never.
    fn time(&self, nodes: &Slab<Node>, place: usize) -> u64 {
        let node = self.0.get(place).and_then(|number| nodes.get(*number));
        node.map_or(u64::MAX, |node| node.instance.expires)
    }

    /// Panics unless every node knows its place and none is earlier than its parent.
    #[cfg(test)]
    pub(super) fn assert_ordered(&self, nodes: &Slab<Node>) {
        for (at, number) in self.0.iter().enumerate() {
            assert_eq!(place(nodes, *number), at);
            assert!(at == 0 || self.time(nodes, (at - 1) / 2) <= self.time(nodes, at));
        }
    }
}

fn place(nodes: &Slab<Node>, number: u32) -> usize {
    nodes.get(number).map_or(usize::MAX, |node| node.alarm as usize)
}
