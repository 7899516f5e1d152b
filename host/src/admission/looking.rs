//! What operators ask about clients.
//!
//! In: how many are to be shown, and which. Out: what is known of them, those heard of last first. Bounded by the limit of
//! the question and one step. Clients are taken from the room in steps and looked at outside its lock: no client waits for
//! a listing. Changes nothing.

use super::{Admission, Known};
use crate::push::InstanceId;

/// Places of the table looked at while the lock is held.
pub(super) const STEP: u32 = 512;

impl Admission {
    /// The clients heard of last, at most `limit`, the latest first.
    pub fn clients(&self, limit: usize) -> Vec<Known> {
        let state = self.lock();
        let recent = state.table.recent().take(limit);
        recent.map(|(instance, connections)| instance.known(connections, &state.clock)).collect()
    }

    /// How many clients `fits` is true of, and at most `limit` of those, the ones heard of last first. `fits` is called
    /// once for every client, without the lock. One that comes or goes meanwhile may be counted or not, and one that is
    /// forgotten and comes back may be counted twice.
    pub fn clients_where(&self, limit: usize, fits: impl Fn(&Known) -> bool) -> (usize, Vec<Known>) {
        let (mut matching, mut latest, mut from) = (0, Vec::new(), 0);
        while let Some(step) = self.known(from) {
            let before = latest.len();
            latest.extend(step.into_iter().filter(&fits));
            matching += latest.len() - before;
            latest.sort_by_key(|known| std::cmp::Reverse(known.last_seen));
            latest.truncate(limit);
            from += STEP;
        }
        (matching, latest)
    }

    /// What is known of this client; `None` if it is unknown or forgotten.
    pub fn client(&self, id: InstanceId) -> Option<Known> {
        let state = self.lock();
        let number = state.table.find(id)?;
        Some(state.table.get(number)?.known(state.table.connections(number), &state.clock))
    }

    /// Those at these places of the table; `None` past its end.
    fn known(&self, from: u32) -> Option<Vec<Known>> {
        let state = self.lock();
        let step = state.table.step(from, STEP)?;
        Some(step.map(|(instance, connections)| instance.known(connections, &state.clock)).collect())
    }
}
