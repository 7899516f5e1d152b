//! Names that clients are known to send beyond the standard, if a subscription requests more.
//!
//! Java derives its names from its own metrics: `org.apache.kafka.` followed by group and name with dots (KIP-714,
//! "Client metrics naming"). They were observed with Java 3.7, 4.0 and trunk, and read in the source of librdkafka
//! 2.16. They are abbreviated here: `a.rate|total` stands for `a.rate` and `a.total`; the part between the last dot and
//! the first bar is a suffix, and so is each part after a bar. A name that ends in `.total` is a sum, every other a
//! gauge.

/// Under each prefix of [`JAVA_CLIENTS`].
pub(super) const JAVA_COMMON: &[&str] = &[
    "connection.close.rate|total",
    "connection.count",
    "connection.creation.rate|total",
    "failed.authentication.rate|total",
    "failed.reauthentication.rate|total",
    "successful.authentication.rate|total",
    "successful.authentication.no.reauth.total",
    "successful.reauthentication.rate|total",
    "reauthentication.latency.avg|max",
    "incoming.byte.rate|total",
    "outgoing.byte.rate|total",
    "io.ratio",
    "io.time.ns.avg|total",
    "io.wait.ratio",
    "io.wait.time.ns.avg|total",
    // Java 3.7 has these two in addition to the two with `ns`.
    "iotime.total",
    "io.waittime.total",
    "network.io.rate|total",
    "request.rate|total",
    "request.size.avg|max",
    "response.rate|total",
    "select.rate|total",
    "node.incoming.byte.rate|total",
    "node.outgoing.byte.rate|total",
    "node.request.latency.avg|max",
    "node.request.rate|total",
    "node.request.size.avg|max",
    "node.response.rate|total",
];

/// The prefixes of the common names.
pub(super) const JAVA_CLIENTS: &[&str] = &["producer.", "consumer.", "admin.client."];

/// Sent by every client, without a role. The second name is odd but correct.
pub(super) const JAVA_ANY: &[&str] = &["app.info.start.time.ms", "kafka.count.count"];

/// Under `producer.`; the last two lines with the label `topic`, once topics are used.
pub(super) const JAVA_PRODUCER: &[&str] = &[
    "batch.size.avg|max",
    "batch.split.rate|total",
    "buffer.available.bytes",
    "buffer.total.bytes",
    "buffer.exhausted.rate|total",
    "bufferpool.wait.ratio",
    "bufferpool.wait.time.ns.total",
    // Java 3.7 has it in addition to the one with `ns`.
    "bufferpool.wait.time.total",
    "compression.rate.avg",
    "flush.time.ns.total",
    "metadata.age",
    "metadata.wait.time.ns.total",
    "produce.throttle.time.avg|max",
    "record.error.rate|total",
    "record.queue.time.avg|max",
    "record.retry.rate|total",
    "record.send.rate|total",
    "record.size.avg|max",
    "records.per.request.avg",
    "request.latency.avg|max",
    "requests.in.flight",
    "txn.init.time.ns.total",
    "txn.begin.time.ns.total",
    "txn.prepare.time.ns.total",
    "txn.send.offsets.time.ns.total",
    "txn.commit.time.ns.total",
    "txn.abort.time.ns.total",
    "waiting.threads",
    "topic.record.send.rate|total",
    "topic.byte.rate|total",
    "topic.record.retry.rate|total",
    "topic.record.error.rate|total",
    "topic.compression.rate",
];

/// Under `consumer.`; the last three lines with the labels `topic` and `partition`.
pub(super) const JAVA_CONSUMER: &[&str] = &[
    "commit.sync.time.ns.total",
    "committed.time.ns.total",
    "last.poll.seconds.ago",
    "poll.idle.ratio.avg",
    "time.between.poll.avg|max",
    "coordinator.assigned.partitions",
    "coordinator.commit.latency.avg|max",
    "coordinator.commit.rate|total",
    "coordinator.failed.rebalance.rate.per.hour",
    "coordinator.failed.rebalance.total",
    "coordinator.heartbeat.rate|total",
    "coordinator.heartbeat.response.time.max",
    "coordinator.join.rate|total",
    "coordinator.join.time.avg|max",
    "coordinator.last.heartbeat.seconds.ago",
    "coordinator.last.rebalance.seconds.ago",
    "coordinator.partition.assigned.latency.avg|max",
    "coordinator.partition.lost.latency.avg|max",
    "coordinator.partition.revoked.latency.avg|max",
    "coordinator.rebalance.latency.avg|max|total",
    "coordinator.rebalance.rate.per.hour",
    "coordinator.rebalance.total",
    "coordinator.sync.rate|total",
    "coordinator.sync.time.avg|max",
    "fetch.manager.bytes.consumed.rate|total",
    "fetch.manager.fetch.latency.avg|max",
    "fetch.manager.fetch.rate|total",
    "fetch.manager.fetch.size.avg|max",
    "fetch.manager.fetch.throttle.time.avg|max",
    "fetch.manager.records.consumed.rate|total",
    "fetch.manager.records.lag.max",
    "fetch.manager.records.lead.min",
    "fetch.manager.records.per.request.avg",
    "fetch.manager.records.lag|lag.avg",
    "fetch.manager.records.lead|lead.avg",
    "fetch.manager.preferred.read.replica",
];

/// Sent by librdkafka beyond the standard. Its share consumer is recent.
pub(super) const LIBRDKAFKA: &[&str] = &[
    "producer.request.latency.avg|max",
    "consumer.share.poll.idle.ratio.avg",
    "consumer.share.time.between.poll.avg|max",
    "consumer.share.fetch.manager.fetch.total|rate",
    "consumer.share.fetch.manager.fetch.latency.avg|max",
    "consumer.share.fetch.manager.fetch.throttle.time.avg|max",
    "consumer.share.fetch.manager.fetch.size.avg|max",
    "consumer.share.fetch.manager.bytes.consumed.total|rate",
    "consumer.share.fetch.manager.acknowledgements.send.total|rate",
    "consumer.share.coordinator.heartbeat.total|rate",
];

/// The full names of one line, with the prefixes `org.apache.kafka.` and `under`.
pub(super) fn expand(under: &str, line: &str) -> impl Iterator<Item = String> {
    let first = line.split('|').next().unwrap_or(line);
    let (stem, endings) = line.split_at(first.rfind('.').map_or(0, |dot| dot + 1));
    endings.split('|').map(move |ending| format!("org.apache.kafka.{under}{stem}{ending}"))
}
