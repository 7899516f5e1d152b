//! Doubly linked lists through the nodes of the client table, most recently used first: of all instances, and of those
//! of one source; unestablished and established clients separately.
//!
//! A node has a separate [`LruLink`] for each list it is in, so that moving it costs a few writes and no allocation.

use super::slab::Slab;
use super::table::ClientNode;

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The neighbours of a node in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LruLink {
    newer: u32,
    older: u32,
}

impl LruLink {
    pub(super) const UNLINKED: Self = Self { newer: NONE, older: NONE };
}

/// Which of a node's links.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListKind {
    All,
    BySource,
}

/// The two ends of one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct LruList {
    newest: u32,
    oldest: u32,
}

impl Default for LruList {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE }
    }
}

impl LruList {
    pub(super) fn newest(&self) -> Option<u32> {
        (self.newest != NONE).then_some(self.newest)
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts a node that is in no list of this kind at the front.
    pub(super) fn push(&mut self, kind: ListKind, nodes: &mut Slab<ClientNode>, number: u32) {
        if let Some(node) = nodes.get_mut(number) {
            *node.link_mut(kind) = LruLink { newer: NONE, older: self.newest };
        }
        match nodes.get_mut(self.newest) {
            Some(node) => node.link_mut(kind).newer = number,
            None => self.oldest = number,
        }
        self.newest = number;
    }

    /// Removes a node from this list.
    pub(super) fn remove(&mut self, kind: ListKind, nodes: &mut Slab<ClientNode>, number: u32) {
        let link = unlink(kind, nodes, number);
        if self.newest == number {
            self.newest = link.older;
        }
        if self.oldest == number {
            self.oldest = link.newer;
        }
    }
}

/// Removes a node from a list whose ends no longer exist.
pub(super) fn unlink(kind: ListKind, nodes: &mut Slab<ClientNode>, number: u32) -> LruLink {
    let link = nodes
        .get_mut(number)
        .map_or(LruLink::UNLINKED, |node| std::mem::replace(node.link_mut(kind), LruLink::UNLINKED));
    if let Some(node) = nodes.get_mut(link.newer) {
        node.link_mut(kind).older = link.older;
    }
    if let Some(node) = nodes.get_mut(link.older) {
        node.link_mut(kind).newer = link.newer;
    }
    link
}

/// The next older node.
pub(super) fn older(kind: ListKind, nodes: &Slab<ClientNode>, number: u32) -> Option<u32> {
    let older = nodes.get(number)?.link(kind).older;
    (older != NONE).then_some(older)
}
