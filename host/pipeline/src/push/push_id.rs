//! The identity of a push.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Push;
use barnabas_base::InstanceId;

/// Identity of a push: a digest of its sender and its content, so that it is the same across retries, restarts and
/// hosts, and when the client itself sends the same bytes again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PushId(pub u128);

impl PushId {
    /// Digest of the client instance id, client id, ingress and wire bytes (SHA-256, first 128 bits).
    pub fn for_push(push: &Push) -> Self {
        let mut hash = Sha256::new();
        hash.update(push.client.instance_id.unwrap_or(InstanceId::NIL).as_bytes());
        hash.update(push.client.client_id.as_deref().unwrap_or_default());
        hash.update([0]);
        hash.update(push.ingress.as_str());
        hash.update(&push.wire);
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.iter().take(16).fold(0, |acc, byte| (acc << 8) | u128::from(*byte)))
    }
}

impl fmt::Display for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
