//! How much one connection and one source may send in a minute.
//!
//! In: the cost of a request, and the time. Out: whether it is within quota. A bucket holds one minute's worth and
//! refills evenly; a refused request costs nothing, so a client that slows down is served again. A bucket takes 16
//! bytes or less and never a timer.

use std::collections::HashMap;
use std::sync::Arc;

/// A minute in nanoseconds: the content of a full bucket.
const MINUTE: u64 = 60_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// A resource that can be exceeded.
pub(super) const NEW_CLIENTS: &str = "new client instances";

/// The limits for one minute. A whole minute's worth may come in one burst. 0 is refused where the configuration is
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Client instances that were not known before.
    pub new_clients: u32,
    /// Pushes, terminating ones included.
    pub pushes: u32,
    /// Bytes of pushes on the wire; `None` is unlimited.
    pub push_bytes: Option<u64>,
}

/// The rates of connections, sources and principals.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// Of one connection.
    pub connection: Rates,
    /// Of one source: a principal if there is one, otherwise an IP address (IPv6: its first 64 bits).
    pub source: Rates,
    /// Of these principals (`User:name`), instead of `source`.
    pub principals: HashMap<Arc<str>, Rates>,
}

impl Default for Quotas {
    /// Enough for thousands of clients behind one address, and for one client that pushes every 100 ms, twice over.
    fn default() -> Self {
        Self {
            connection: Rates { new_clients: 8, pushes: 1_200, push_bytes: None },
            source: Rates { new_clients: 20_000, pushes: 60_000, push_bytes: None },
            principals: HashMap::new(),
        }
    }
}

/// The limit that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotaExceeded {
    pub(super) resource: &'static str,
    pub(super) per_minute: u64,
}

/// The cost of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestCost {
    pub(super) new_clients: u64,
    pub(super) pushes: u64,
    pub(super) push_bytes: u64,
}

impl RequestCost {
    pub(super) fn is_free(self) -> bool {
        self.new_clients == 0 && self.pushes == 0
    }
}

/// The buckets of one connection or source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuotaMeter {
    new_clients: QuotaBucket,
    pushes: QuotaBucket,
    push_bytes: QuotaBucket,
}

impl QuotaMeter {
    /// Whether the whole cost is within the limits; consumes nothing.
    pub(super) fn check(&self, rates: &Rates, cost: RequestCost, now: u64) -> Result<(), QuotaExceeded> {
        for (bucket, what, rate, amount) in self.limits(rates, cost) {
            if !bucket.allows(rate, amount, now) {
                return Err(QuotaExceeded { resource: what, per_minute: rate });
            }
        }
        Ok(())
    }

    /// Consumes the cost.
    pub(super) fn consume(&mut self, rates: &Rates, cost: RequestCost, now: u64) {
        self.new_clients.consume(rates.new_clients.into(), cost.new_clients, now);
        self.pushes.consume(rates.pushes.into(), cost.pushes, now);
        if let Some(rate) = rates.push_bytes {
            self.push_bytes.consume(rate, cost.push_bytes, now);
        }
    }

    fn limits(&self, rates: &Rates, cost: RequestCost) -> [(QuotaBucket, &'static str, u64, u64); 3] {
        let bytes = rates.push_bytes.unwrap_or(u64::MAX);
        [
            (self.new_clients, NEW_CLIENTS, rates.new_clients.into(), cost.new_clients),
            (self.pushes, "pushes", rates.pushes.into(), cost.pushes),
            (self.push_bytes, "bytes of pushes", bytes, cost.push_bytes),
        ]
    }
}

/// One limit: the time, in nanoseconds of admission's clock, at which the bucket will be full again.
#[derive(Clone, Copy, Debug, Default)]
struct QuotaBucket(u64);

impl QuotaBucket {
    /// `now` is in milliseconds. An amount above one minute's worth is allowed by a full bucket, which is then in debt
    /// for long: otherwise it could never be allowed.
    fn allows(self, rate: u64, amount: u64, now: u64) -> bool {
        let owed = self.0.saturating_sub(now.saturating_mul(MILLISECOND));
        amount == 0 || owed == 0 || owed.saturating_add(refill_time(rate, amount)) <= MINUTE
    }

    fn consume(&mut self, rate: u64, amount: u64, now: u64) {
        if amount > 0 {
            self.0 = self.0.max(now.saturating_mul(MILLISECOND)).saturating_add(refill_time(rate, amount));
        }
    }
}

fn refill_time(rate: u64, amount: u64) -> u64 {
    let time = u128::from(amount) * u128::from(MINUTE) / u128::from(rate.max(1));
    u64::try_from(time).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { new_clients: 3, pushes: 60, push_bytes: Some(1_000) };

    fn push(meter: &mut QuotaMeter, bytes: u64, now: u64) -> Result<(), QuotaExceeded> {
        let cost = RequestCost { pushes: 1, push_bytes: bytes, ..RequestCost::default() };
        meter.check(&RATES, cost, now).inspect(|()| meter.consume(&RATES, cost, now))
    }

    #[test]
    fn rate_obeyed() {
        let mut meter = QuotaMeter::default();
        assert!((0..60).all(|_| push(&mut meter, 1, 5_000).is_ok()), "a minute's worth in one burst");
        assert!((1..=600).all(|second| push(&mut meter, 1, 5_000 + second * 1_000).is_ok()), "then one a second");
    }

    #[test]
    fn rate_violated() {
        let mut meter = QuotaMeter::default();
        (0..60).for_each(|_| push(&mut meter, 0, 0).expect("a minute's worth"));
        for _ in 0..1_000 {
            assert_eq!(push(&mut meter, 0, 999), Err(QuotaExceeded { resource: "pushes", per_minute: 60 }));
        }
        assert!(push(&mut meter, 0, 1_000).is_ok(), "a refused push cost nothing");
    }

    #[test]
    fn an_amount_above_the_burst_is_allowed_by_a_full_bucket() {
        let mut meter = QuotaMeter::default();
        assert!(push(&mut meter, 5_000, 0).is_ok());
        assert_eq!(push(&mut meter, 1, 299_000).map_err(|over| over.resource), Ok(()), "a minute's worth may be owed");
        let mut meter = QuotaMeter::default();
        assert!(push(&mut meter, 5_000, 0).is_ok());
        assert_eq!(push(&mut meter, 1, 239_000).map_err(|over| over.resource), Err("bytes of pushes"));
    }
}
