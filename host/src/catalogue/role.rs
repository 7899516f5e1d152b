//! What a client is, by the names of its metrics.

use serde::Serialize;

/// What kind of client. librdkafka's admin handles send the metrics of a producer, so they count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientRole {
    /// Sends what begins with `org.apache.kafka.producer.`.
    Producer,
    /// Likewise `org.apache.kafka.consumer.`, share consumers included.
    Consumer,
    /// Likewise `org.apache.kafka.admin.client.`, which only Java has.
    Admin,
    /// A consumer or an admin client that also sends what Kafka Streams told it to (KIP-1076).
    Streams,
}

/// In this order a set of names is judged: a client inside Streams sends those of another role beside them.
const ORDER: [ClientRole; 4] = [ClientRole::Streams, ClientRole::Consumer, ClientRole::Producer, ClientRole::Admin];

impl ClientRole {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
            Self::Streams => "streams",
        }
    }

    /// How the names of its metrics begin (KIP-714, KIP-1076).
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "org.apache.kafka.producer.",
            Self::Consumer => "org.apache.kafka.consumer.",
            Self::Admin => "org.apache.kafka.admin.client.",
            Self::Streams => "org.apache.kafka.stream.",
        }
    }

    /// Of a client that sends these; `None` where they belong to no role.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Option<Self> {
        ORDER.into_iter().find(|role| names.iter().any(|name| name.as_ref().starts_with(role.prefix())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_told_by_the_names() {
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
