//! Queries of operators about clients.
//!
//! In: how many clients to return, and which. Out: their snapshots, the most recently active first. Bounded: by the
//! limit of the query and one page. Clients are read in pages and filtered outside the lock, so that no client waits
//! for a listing. It changes nothing.

use super::{Admission, ClientSnapshot};
use barnabas_base::InstanceId;

/// Indices of the table that are read while the lock is held.
pub(super) const PAGE: u32 = 512;

impl Admission {
    /// The most recently active clients, at most `limit`, the latest first.
    pub fn clients(&self, limit: usize) -> Vec<ClientSnapshot> {
        let state = self.lock();
        let recent = state.table.recent().take(limit);
        recent.map(|(instance, connections)| instance.snapshot(connections, &state.clock)).collect()
    }

    /// How many clients satisfy `matches`, and at most `limit` of them, the most recently active first. `matches` is
    /// called once for every client, without the lock. A client that arrives or leaves meanwhile may be counted or not,
    /// and one that is evicted and comes back may be counted twice.
    pub fn clients_where(
        &self,
        limit: usize,
        matches: impl Fn(&ClientSnapshot) -> bool,
    ) -> (usize, Vec<ClientSnapshot>) {
        let (mut matching, mut latest, mut from) = (0, Vec::new(), 0);
        while let Some(page) = self.snapshots(from) {
            let before = latest.len();
            latest.extend(page.into_iter().filter(&matches));
            matching += latest.len() - before;
            latest.sort_by_key(|client| std::cmp::Reverse(client.last_seen));
            latest.truncate(limit);
            from += PAGE;
        }
        (matching, latest)
    }

    /// The snapshot of this client; `None` if it is unknown or was evicted.
    pub fn client(&self, id: InstanceId) -> Option<ClientSnapshot> {
        let state = self.lock();
        let number = state.table.find(id)?;
        Some(state.table.get(number)?.snapshot(state.table.connection_count(number), &state.clock))
    }

    /// The clients in this page of the table; `None` past its end.
    fn snapshots(&self, from: u32) -> Option<Vec<ClientSnapshot>> {
        let state = self.lock();
        let page = state.table.page(from, PAGE)?;
        Some(page.map(|(instance, connections)| instance.snapshot(connections, &state.clock)).collect())
    }
}
