//! Enforces the quotas of one connection and of one source.
//!
//! In: the cost of a request. Out: whether it is within quota; if so, the cost is consumed. Bounded: only the most
//! recently active connections are remembered, and one that was evicted starts again with a full minute.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::quota::{NEW_CLIENTS, QuotaExceeded, QuotaMeter, Quotas, Rates, RequestCost};
use super::{AdmissionRequest, Refusal};
use crate::push::ConnectionId;

/// The most connections that are remembered.
const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

pub(super) struct QuotaLimiter(LruCache<ConnectionId, QuotaMeter>);

impl QuotaLimiter {
    pub(super) fn new() -> Self {
        Self(LruCache::sparse(MAX_CONNECTIONS))
    }

    /// Consumes the cost from both or from neither.
    pub(super) fn charge(
        &mut self,
        quotas: &Quotas,
        request: &AdmissionRequest<'_>,
        source: &mut QuotaMeter,
        cost: RequestCost,
    ) -> Result<(), Refusal> {
        if cost.is_free() {
            return Ok(());
        }
        let connection = self.0.get_or_insert_mut(request.connection, QuotaMeter::default);
        let (rates, scope, setting) = source_rates(quotas, request);
        connection
            .check(&quotas.connection, cost, request.now)
            .map_err(|over| refusal(over, "one connection", "limits.connection"))?;
        source.check(rates, cost, request.now).map_err(|over| refusal(over, scope, setting))?;
        connection.consume(&quotas.connection, cost, request.now);
        source.consume(rates, cost, request.now);
        Ok(())
    }

    pub(super) fn connection_closed(&mut self, connection: ConnectionId) {
        self.0.pop(&connection);
    }
}

/// While clients are being evicted, those that come back as new clients are the excess.
pub(super) fn explain_full_table(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::OverQuota { scope, resource: NEW_CLIENTS, per_minute, .. } => {
            let resource = "new client instances (the client table is full, so some are evicted and return as new)";
            Refusal::OverQuota { scope, resource, per_minute, setting: "limits.clients" }
        }
        other => other,
    }
}

fn source_rates<'a>(quotas: &'a Quotas, request: &AdmissionRequest<'_>) -> (&'a Rates, &'static str, &'static str) {
    let own_rates = request.client.principal.as_deref().and_then(|principal| quotas.principals.get(principal));
    match own_rates {
        Some(rates) => (rates, "this principal", "[[quota]]"),
        None => (&quotas.source, "one source", "limits.source"),
    }
}

fn refusal(over: QuotaExceeded, scope: &'static str, setting: &'static str) -> Refusal {
    Refusal::OverQuota { scope, resource: over.resource, per_minute: over.per_minute, setting }
}
