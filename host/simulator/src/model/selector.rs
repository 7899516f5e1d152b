//! Selects the metrics that a client sends. Java and librdkafka behave the same.

/// Whether `metric` is requested. `*` selects all metrics only if it is the only element; otherwise it is an ordinary
/// prefix, which no name has. The empty prefix selects all metrics.
pub(super) fn is_selected(requested: &[String], metric: &str) -> bool {
    match requested {
        [only] if only == "*" => true,
        prefixes => prefixes.iter().any(|prefix| metric.starts_with(prefix.as_str())),
    }
}
