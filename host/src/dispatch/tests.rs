//! Tests of dispatch as its neighbours see it; time stands still unless a test moves it.

mod bounds;
mod concurrency;
mod leases;
mod model;
mod notices;
mod settlement;
mod slots;
pub(super) mod support;
mod trial;
