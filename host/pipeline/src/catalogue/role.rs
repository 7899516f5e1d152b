//! The role of a client, derived from the names of its metrics.

use serde::Serialize;

/// The kind of a client. librdkafka's admin clients send the metrics of a producer, so they count as producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientRole {
    /// Sends names that begin with `org.apache.kafka.producer.`.
    Producer,
    /// Sends names that begin with `org.apache.kafka.consumer.`; includes share consumers.
    Consumer,
    /// Sends names that begin with `org.apache.kafka.admin.client.`; only Java has them.
    Admin,
    /// A consumer or admin client that also sends the metrics registered by Kafka Streams (KIP-1076).
    Streams,
}

/// The order in which a set of names is tested: a client inside Kafka Streams sends those of another role as well.
const ORDER: [ClientRole; 4] = [ClientRole::Streams, ClientRole::Consumer, ClientRole::Producer, ClientRole::Admin];

impl ClientRole {
    /// The name of the role.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
            Self::Streams => "streams",
        }
    }

    /// The prefix of its metric names (KIP-714, KIP-1076).
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "org.apache.kafka.producer.",
            Self::Consumer => "org.apache.kafka.consumer.",
            Self::Admin => "org.apache.kafka.admin.client.",
            Self::Streams => "org.apache.kafka.stream.",
        }
    }

    /// The role of a client that sends these names; `None` if they belong to no role.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Option<Self> {
        ORDER.into_iter().find(|role| names.iter().any(|name| name.as_ref().starts_with(role.prefix())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_derived_from_the_names() {
        let producer = "org.apache.kafka.producer.record.queue.time.avg";
        assert_eq!(ClientRole::from_names(&[producer, "app.of.mine"]), Some(ClientRole::Producer));
        assert_eq!(
            ClientRole::from_names(&["org.apache.kafka.consumer.share.poll.idle.ratio.avg"]),
            Some(ClientRole::Consumer)
        );
        assert_eq!(ClientRole::from_names(&["org.apache.kafka.admin.client.request.rate"]), Some(ClientRole::Admin));
        let inside = ["org.apache.kafka.consumer.request.rate", "org.apache.kafka.stream.thread.poll.rate"];
        assert_eq!(ClientRole::from_names(&inside), Some(ClientRole::Streams));
        assert_eq!(ClientRole::from_names(&["app.of.mine", "org.apache.kafka.app.info.start.time.ms"]), None);
        assert_eq!(ClientRole::from_names::<&str>(&[]), None);
    }
}
