//! What an operator may know of a client instance.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::push::Client;

/// A client instance that is known.
#[derive(Clone, Debug)]
pub struct ClientSnapshot {
    /// Who, as it was when first seen.
    pub client: Arc<Client>,
    /// When first seen.
    pub first_seen: SystemTime,
    /// Its latest request.
    pub last_seen: SystemTime,
    /// The subscription it has or will be told of.
    pub subscription_id: i32,
    /// Names of the subscriptions that match it, sorted.
    pub subscriptions: Vec<Arc<str>>,
    /// Prefixes that it is asked for, as it is told them.
    pub metrics: Arc<[Arc<str>]>,
    /// How often it is to push.
    pub push_interval: Duration,
    /// Open ones; at most eight are counted.
    pub connections: usize,
    /// Questions for its subscription, those refused included.
    pub gets: u32,
    /// Pushes, those refused included.
    pub pushes: u32,
    /// Of pushes, how many were let pass since what it is told last changed. What another room refused later counts.
    pub pushes_of_subscription: u32,
    /// A push was let pass since its last question that was answered.
    pub pushed_since_get: bool,
    /// Of both, how many were refused.
    pub refused: u32,
    /// [`Refusal::code`](super::Refusal::code) of the latest refusal, and when it was.
    pub last_refusal: Option<(&'static str, SystemTime)>,
    /// All its connections are closed, or its last push was terminating.
    pub gone: bool,
}
