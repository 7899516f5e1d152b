//! Which principals may describe and alter subscriptions, which are configurations of the cluster in Kafka's terms.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The principal of a client that is not authenticated, as Kafka names it.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// Which principals may describe and alter subscriptions. KIP-714 requires ALTER_CONFIGS and DESCRIBE_CONFIGS on the
/// cluster; fetching a subscription and pushing need neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminAccess {
    /// Every client, like a broker without an authorizer.
    #[default]
    Open,
    /// Only these principals (`User:alice`).
    Listed(BTreeSet<Arc<str>>),
}

impl AdminAccess {
    /// Whether this principal may describe and alter subscriptions. `None` is a client that is not authenticated.
    pub fn allows(&self, principal: Option<&str>) -> bool {
        match self {
            Self::Open => true,
            Self::Listed(principals) => principals.contains(principal.unwrap_or(ANONYMOUS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_principals_are_allowed() {
        let listed = AdminAccess::Listed(BTreeSet::from(["User:alice".into()]));
        assert!(listed.allows(Some("User:alice")));
        assert!(!listed.allows(Some("User:bob")));
        assert!(!listed.allows(None));
        assert!(AdminAccess::Open.allows(None));
        assert!(AdminAccess::Listed(BTreeSet::from([ANONYMOUS.into()])).allows(None));
    }
}
