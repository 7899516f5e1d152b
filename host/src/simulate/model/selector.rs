//! Which metrics a client sends, of those that it has. Java and librdkafka agree.

/// Whether `metric` is asked for. `*` means all only where it stands alone; beside others it is a prefix like any, which
/// no name begins with. An empty prefix is a prefix of every name.
pub(super) fn is_selected(requested: &[String], metric: &str) -> bool {
    match requested {
        [only] if only == "*" => true,
        prefixes => prefixes.iter().any(|prefix| metric.starts_with(prefix.as_str())),
    }
}
