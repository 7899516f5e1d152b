//! Which client instance expires next: a binary heap of slab indices, where each node knows its position in the heap.
//!
//! It costs four bytes an instance and four in its node. A change costs at most a logarithm of their number.

use super::slab::Slab;
use super::table::ClientNode;

#[derive(Debug, Default)]
pub(super) struct ExpiryHeap(Vec<u32>);

impl ExpiryHeap {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The instance that expires first.
    pub(super) fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    pub(super) fn insert(&mut self, nodes: &mut Slab<ClientNode>, number: u32) {
        if self.0.len() == self.0.capacity() {
            // Grow by an eighth, so that a large table does not allocate far more than it needs.
            self.0.reserve_exact(self.0.len() / 8 + 64);
        }
        self.0.push(number);
        self.put(nodes, self.0.len() - 1, number);
        self.sift_up(nodes, self.0.len() - 1);
    }

    pub(super) fn remove(&mut self, nodes: &mut Slab<ClientNode>, number: u32) {
        let index = heap_index(nodes, number);
        let Some(last) = self.0.pop() else { return };
        if index < self.0.len() {
            self.put(nodes, index, last);
            self.update(nodes, last);
        }
    }

    /// The expiry of this instance has changed.
    pub(super) fn update(&mut self, nodes: &mut Slab<ClientNode>, number: u32) {
        let index = self.sift_up(nodes, heap_index(nodes, number));
        self.sift_down(nodes, index);
    }

    fn sift_up(&mut self, nodes: &mut Slab<ClientNode>, mut index: usize) -> usize {
        while index > 0 {
            let parent = (index - 1) / 2;
            if self.time(nodes, parent) <= self.time(nodes, index) {
                break;
            }
            self.swap(nodes, parent, index);
            index = parent;
        }
        index
    }

    fn sift_down(&mut self, nodes: &mut Slab<ClientNode>, mut index: usize) {
        loop {
            let children = [2 * index + 1, 2 * index + 2];
            let Some(least) = children.into_iter().min_by_key(|child| self.time(nodes, *child)) else { return };
            if self.time(nodes, least) >= self.time(nodes, index) {
                return;
            }
            self.swap(nodes, least, index);
            index = least;
        }
    }

    fn swap(&mut self, nodes: &mut Slab<ClientNode>, one: usize, other: usize) {
        let (Some(first), Some(second)) = (self.0.get(one).copied(), self.0.get(other).copied()) else { return };
        self.put(nodes, one, second);
        self.put(nodes, other, first);
    }

    fn put(&mut self, nodes: &mut Slab<ClientNode>, index: usize, number: u32) {
        if let (Some(slot), Some(node)) = (self.0.get_mut(index), nodes.get_mut(number)) {
            *slot = number;
            node.heap_index = index as u32;
        }
    }

    /// Past the end of the heap it is never.
    fn time(&self, nodes: &Slab<ClientNode>, index: usize) -> u64 {
        let node = self.0.get(index).and_then(|number| nodes.get(*number));
        node.map_or(u64::MAX, |node| node.instance.expires)
    }

    /// Panics unless every node knows its position and none expires before its parent.
    #[cfg(test)]
    pub(super) fn assert_ordered(&self, nodes: &Slab<ClientNode>) {
        for (at, number) in self.0.iter().enumerate() {
            assert_eq!(heap_index(nodes, *number), at);
            assert!(at == 0 || self.time(nodes, (at - 1) / 2) <= self.time(nodes, at));
        }
    }
}

fn heap_index(nodes: &Slab<ClientNode>, number: u32) -> usize {
    nodes.get(number).map_or(usize::MAX, |node| node.heap_index as usize)
}
