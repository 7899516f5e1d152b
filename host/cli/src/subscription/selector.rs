//! Client selectors: `--match` as in Kafka's command, or `--id` as in the early draft of KIP-714.

use anyhow::{Result, ensure};
use barnabas_base::InstanceId;

/// Translates the draft's `--id` to a `--match`: a client instance id in any encoding selects that client instance. Any
/// other text was a prefix of the draft's ids, which began with the software name, so it selects by that prefix.
pub(super) fn from_id(text: &str) -> Result<String> {
    ensure!(!text.is_empty(), "--id is empty; omit it to select all clients");
    // The ids of the draft were a name, a dash and a UUID.
    let uuid = text.len().checked_sub(36).and_then(|at| text.get(at..)).filter(|_| text.contains('-'));
    if let Some(id) = [Some(text), uuid].into_iter().flatten().find_map(|text| InstanceId::parse_any(text).ok()) {
        return Ok(format!("client_instance_id={id}"));
    }
    let known = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    ensure!(
        known,
        "--id `{text}` is neither a client instance id (22 characters of base64url, padded base64, hex or a UUID) nor a \
         prefix of a software name; use --match for patterns"
    );
    let begins = text.replace('.', "\\.");
    // The example of the draft: librdkafka was called rdkafka.
    let begins = if "rdkafka".starts_with(text) { format!("(lib)?{begins}") } else { begins };
    Ok(format!("client_software_name={begins}.*"))
}

/// The id in the encodings of logs: Java's, librdkafka's, and hexadecimal.
pub(super) fn spellings(selector: &str) -> Option<String> {
    let id: InstanceId = selector.strip_prefix("client_instance_id=")?.parse().ok()?;
    Some(format!("client instance {id} (base64url), {} (base64), {} (hex)", id.to_base64(), id.to_hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_draft_selects_the_software_name() {
        assert_eq!(from_id("rdkafka").unwrap(), "client_software_name=(lib)?rdkafka.*");
        assert_eq!(from_id("apache-kafka-java").unwrap(), "client_software_name=apache-kafka-java.*");
        assert!(from_id("").is_err());
        assert!(from_id("a b").unwrap_err().to_string().contains("--match"));
    }

    #[test]
    fn an_instance_id_is_accepted_in_every_encoding() {
        for text in [
            "cBrordIqXpq0qkqcvYahPA",
            "cBrordIqXpq0qkqcvYahPA==",
            "701ae8add22a5e9ab4aa4a9cbd86a13c",
            "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13c",
            "rdkafka-701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13c",
        ] {
            assert_eq!(from_id(text).unwrap(), "client_instance_id=cBrordIqXpq0qkqcvYahPA");
        }
        let spelled = spellings("client_instance_id=cBrordIqXpq0qkqcvYahPA").unwrap();
        assert!(spelled.contains("cBrordIqXpq0qkqcvYahPA==") && spelled.contains("701ae8add22a5e9ab4aa4a9cbd86a13c"));
        assert_eq!(spellings("client_id=x"), None);
    }
}
