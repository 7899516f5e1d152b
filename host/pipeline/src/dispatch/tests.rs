//! Tests of dispatch through its API; time stands still unless a test advances it.

mod bounds;
mod concurrency;
mod leases;
mod model;
mod notices;
mod settlement;
mod slots;
pub(super) mod support;
mod trial;
