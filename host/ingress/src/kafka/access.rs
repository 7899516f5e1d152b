//! Who may look at subscriptions and change them: in Kafka's terms, the configurations of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The principal of a client that proved nothing, as Kafka names it.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// Whom a listener lets at subscriptions. KIP-714 asks for ALTER_CONFIGS and DESCRIBE_CONFIGS on the cluster; fetching a
/// subscription and pushing need neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminAccess {
    /// Everybody, as a broker without an authorizer does.
    #[default]
    Open,
    /// These principals (`User:alice`) and nobody else.
    Listed(BTreeSet<Arc<str>>),
}

impl AdminAccess {
    /// Whether this principal may. `None` is one that proved nothing.
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
    fn only_who_is_listed_may() {
        let listed = AdminAccess::Listed(BTreeSet::from(["User:alice".into()]));
        assert!(listed.allows(Some("User:alice")));
        assert!(!listed.allows(Some("User:bob")));
        assert!(!listed.allows(None));
        assert!(AdminAccess::Open.allows(None));
        assert!(AdminAccess::Listed(BTreeSet::from([ANONYMOUS.into()])).allows(None));
    }
}
