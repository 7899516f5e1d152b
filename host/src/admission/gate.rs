//! Quotas at the gate: one connection, one source.
//!
//! In: what a request costs. Out: whether it may come in; if so, it is paid for. Bounded: of connections the ones heard of
//! last are remembered, and one that is forgotten begins with a full minute.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::quota::{Cost, Meter, NEW_CLIENTS, Over, Quotas, Rates};
use super::{Asking, Refusal};
use crate::push::ConnectionId;

/// Connections remembered.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

pub(super) struct Gate(LruCache<ConnectionId, Meter>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(LruCache::sparse(CONNECTIONS))
    }

    /// Takes it from both or from neither.
    pub(super) fn charge(
        &mut self,
        quotas: &Quotas,
        asking: &Asking<'_>,
        source: &mut Meter,
        cost: Cost,
    ) -> Result<(), Refusal> {
        if cost.is_nothing() {
            return Ok(());
        }
        let connection = self.0.get_or_insert_mut(asking.connection, Meter::default);
        let (rates, whose, key) = of_source(quotas, asking);
        connection
            .may(&quotas.connection, cost, asking.now)
            .map_err(|over| refusal(over, "one connection", "limits.connection"))?;
        source.may(rates, cost, asking.now).map_err(|over| refusal(over, whose, key))?;
        connection.take(&quotas.connection, cost, asking.now);
        source.take(rates, cost, asking.now);
        Ok(())
    }

    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.0.pop(&connection);
    }
}

/// Where clients are being forgotten, those that come back are what there is too much of.
pub(super) fn for_want_of_room(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::OverQuota { whose, what: NEW_CLIENTS, per_minute, .. } => {
            let what = "new client instances (for want of room some are forgotten and come back)";
            Refusal::OverQuota { whose, what, per_minute, key: "limits.clients" }
        }
        other => other,
    }
}

fn of_source<'a>(quotas: &'a Quotas, asking: &Asking<'_>) -> (&'a Rates, &'static str, &'static str) {
    let own = asking.client.principal.as_deref().and_then(|principal| quotas.principals.get(principal));
    match own {
        Some(rates) => (rates, "this principal", "[[quota]]"),
        None => (&quotas.source, "one source", "limits.source"),
    }
}

fn refusal(over: Over, whose: &'static str, key: &'static str) -> Refusal {
    Refusal::OverQuota { whose, what: over.what, per_minute: over.per_minute, key }
}
