//! The facts that the host knows about a push, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! facts {
    ($($(#[doc = $doc:literal])+ $fact:ident => $name:literal,)+) => {
        /// A fact that the host knows about a push: for [`Push::fact`](crate::Push::fact) and for a
        /// [`Label`](crate::Label). Later versions may add facts.
        ///
        /// A fact is serialized as its name, also in settings: a `Vec<Fact>` there refuses an unknown name and lists
        /// the known ones.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Fact {
            $($(#[doc = $doc])+ #[doc = concat!("\n\nIts name is `", $name, "`.")] $fact,)+
        }

        impl Fact {
            /// All facts of this version.
            pub const ALL: &[Self] = &[$(Self::$fact),+];

            /// The name of the fact in the contract and in settings.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fact => $name,)+
                }
            }
        }
    };
}

facts! {
    /// The client instance id of KIP-714: 22 characters of base64url.
    ClientInstanceId => "client_instance_id",
    /// The client id, which is the configuration `client.id` of the client.
    ClientId => "client_id",
    /// The name of the client library, for example `apache-kafka-java` or `librdkafka`.
    ClientSoftwareName => "client_software_name",
    /// The version of the client library.
    ClientSoftwareVersion => "client_software_version",
    /// The IP address that the push came from. It may be personal data.
    ClientSourceAddress => "client_source_address",
    /// The port that the push came from. It may be personal data.
    ClientSourcePort => "client_source_port",
    /// The authenticated principal of the client. It may be personal data.
    Principal => "principal",
    /// The Kafka node id of the host that received the push.
    NodeId => "node_id",
    /// The listener of the host that received the push.
    Listener => "listener",
    /// The protocol by which the push reached the host: `kafka`, `otlp-http`, `embedder` or `sample`.
    Ingress => "ingress",
    /// [`Push::id`](crate::Push::id) as 32 hexadecimal digits.
    PushId => "push_id",
}

/// The error for a name that no fact has. Its message lists the known names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFact(String);

impl fmt::Display for UnknownFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown fact `{}`; the known facts are ", self.0.escape_debug())?;
        let names: Vec<_> = Fact::ALL.iter().map(|fact| fact.name()).collect();
        f.write_str(&names.join(", "))
    }
}

impl std::error::Error for UnknownFact {}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fact {
    type Err = UnknownFact;

    fn from_str(name: &str) -> Result<Self, UnknownFact> {
        let fact = Self::ALL.iter().find(|fact| fact.name() == name);
        fact.copied().ok_or_else(|| UnknownFact(name.to_owned()))
    }
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Fact;

    #[test]
    fn a_fact_round_trips_through_its_name() {
        for &fact in Fact::ALL {
            assert_eq!(fact.to_string().parse(), Ok(fact));
            let json = serde_json::to_string(&fact).unwrap();
            assert_eq!(serde_json::from_str::<Fact>(&json).unwrap(), fact);
        }
    }

    #[test]
    fn an_unknown_fact_is_refused_with_the_known_names() {
        let refusal = serde_json::from_str::<Vec<Fact>>(r#"["client_id", "client"]"#).unwrap_err().to_string();
        assert!(
            refusal.starts_with("unknown fact `client`; the known facts are client_instance_id, client_id,"),
            "{refusal}"
        );
    }
}
