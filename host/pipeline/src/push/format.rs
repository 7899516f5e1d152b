//! How the metrics of a push are encoded.

/// The encoding of a push once it is decompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// A `MetricsData` message, which Kafka clients push.
    #[default]
    Protobuf,
    /// An `ExportMetricsServiceRequest` in OTLP's JSON form.
    Json,
}
