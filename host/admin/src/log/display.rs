//! Makes text from clients and guests safe for one log line.

use std::fmt;

use barnabas_base::text;
use barnabas_pipeline::push::Client;

/// The most characters of one text.
const LONGEST: usize = 1000;

/// A text from a client or a guest: without line breaks and terminal escapes, and truncated.
pub(super) struct OneLine<'a>(pub(super) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::truncate(self.0, LONGEST))
    }
}

/// A client, described by its known facts.
pub(super) struct ClientLabel<'a>(pub(super) &'a Client);

impl fmt::Display for ClientLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.0;
        f.write_str("client")?;
        if let Some(id) = &client.client_id {
            write!(f, " `{}`", OneLine(id))?;
        }
        if let Some(instance) = client.instance_id {
            write!(f, " {instance}")?;
        }
        if let Some(software) = &client.software_name {
            write!(f, " ({}", OneLine(software))?;
            client.software_version.as_deref().map_or(Ok(()), |version| write!(f, " {}", OneLine(version)))?;
            f.write_str(")")?;
        }
        client.source.map_or(Ok(()), |source| write!(f, " at {source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_forge_a_line_and_is_truncated() {
        assert_eq!(OneLine("a\nERROR b\u{1b}[31m").to_string(), r"a\nERROR b\u{1b}[31m");
        assert_eq!(OneLine("grün").to_string(), "grün");
        let long = OneLine(&"x".repeat(LONGEST + 1)).to_string();
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_client_is_described_by_its_known_facts() {
        assert_eq!(ClientLabel(&Client::default()).to_string(), "client");
        let client = Client {
            client_id: Some("orders\n".into()),
            software_name: Some("librdkafka".into()),
            software_version: Some("2.16".into()),
            source: Some(([127, 0, 0, 1], 9).into()),
            ..Client::default()
        };
        assert_eq!(ClientLabel(&client).to_string(), r"client `orders\n` (librdkafka 2.16) at 127.0.0.1:9");
    }
}
