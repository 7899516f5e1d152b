//! What operators ask about clients.
//!
//! In: how many are to be shown, and which. Out: what is known of them, those heard of last first. Bounded by the limit of
//! the question and one step. Clients are taken from the room in steps and looked at outside its lock: no client waits for
//! a listing. Changes nothing.

use super::{Admission, ClientSnapshot};
use crate::push::InstanceId;

/// Places of the table looked at while the lock is held.
pub(super) const PAGE: u32 = 512;

impl Admission {
    /// The clients heard of last, at most `limit`, the latest first.
    pub fn clients(&self, limit: usize) -> Vec<ClientSnapshot> {
        let state = self.lock();
        let recent = state.table.recent().take(limit);
        recent.map(|(instance, connections)| instance.snapshot(connections, &state.clock)).collect()
    }

    /// How many clients `fits` is true of, and at most `limit` of those, the ones heard of last first. `fits` is called
    /// once for every client, without the lock. One that comes or goes meanwhile may be counted or not, and one that is
    /// forgotten and comes back may be counted twice.
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

    /// What is known of this client; `None` if it is unknown or forgotten.
    pub fn client(&self, id: InstanceId) -> Option<ClientSnapshot> {
        let state = self.lock();
        let number = state.table.find(id)?;
        Some(state.table.get(number)?.snapshot(state.table.connection_count(number), &state.clock))
    }

    /// Those at these places of the table; `None` past its end.
    fn snapshots(&self, from: u32) -> Option<Vec<ClientSnapshot>> {
        let state = self.lock();
        let page = state.table.page(from, PAGE)?;
        Some(page.map(|(instance, connections)| instance.snapshot(connections, &state.clock)).collect())
    }
}
