//! The spellings of a client instance id that people meet: Java's text, librdkafka's, hexadecimal digits, and a UUID's.
//!
//! In: text that was copied from a log. Out: the id, or one error message. Every form has its own length, so that none
//! is mistaken for another. This is only for input from people: the wire protocols have one form each.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::InstanceId;

impl InstanceId {
    /// Parses any spelling: 22 characters of base64url (Java), ordinary base64 with or without padding (librdkafka), 32
    /// hexadecimal digits, or a UUID with hyphens. Surrounding spaces, and the full stop that ends librdkafka's log
    /// message, are ignored.
    pub fn parse_any(text: &str) -> Result<Self, String> {
        let bare = text.trim().trim_end_matches('.');
        let id = match bare.len() {
            22 | 24 => base64(bare),
            32 => hex(bare),
            36 => uuid(bare),
            _ => None,
        };
        id.ok_or_else(|| {
            format!(
                "`{text}` is not a client instance id: use the form of the client's log, 22 characters of base64url \
                 or 24 of base64, or 32 hexadecimal digits, with or without a UUID's hyphens"
            )
        })
    }

    /// Ordinary base64 with padding, 24 characters, as librdkafka logs it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    /// 32 hexadecimal digits in lower case.
    pub fn to_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(*self.as_bytes()))
    }
}

fn base64(text: &str) -> Option<InstanceId> {
    let bare = if text.len() == 24 { text.strip_suffix("==")? } else { text };
    InstanceId::from_str(&bare.replace('+', "-").replace('/', "_")).ok()
}

fn hex(text: &str) -> Option<InstanceId> {
    // `from_str_radix` would also accept a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    Some(InstanceId::from_bytes(number.to_be_bytes()))
}

fn uuid(text: &str) -> Option<InstanceId> {
    let dashes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(at, _)| at);
    if !dashes.eq([8, 13, 18, 23]) {
        return None;
    }
    hex(&text.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_id() {
        let id = InstanceId::parse_any("cBrordIqXpq0qkqcvYahPA").unwrap();
        for text in [
            "cBrordIqXpq0qkqcvYahPA==",
            " cBrordIqXpq0qkqcvYahPA==.",
            "701ae8add22a5e9ab4aa4a9cbd86a13c",
            "701AE8ADD22A5E9AB4AA4A9CBD86A13C",
            "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a13c",
        ] {
            assert_eq!(InstanceId::parse_any(text), Ok(id), "{text}");
        }
        assert_eq!(id.to_base64(), "cBrordIqXpq0qkqcvYahPA==");
        assert_eq!(id.to_hex(), "701ae8add22a5e9ab4aa4a9cbd86a13c");
    }

    #[test]
    fn both_base64_alphabets_are_accepted() {
        let id = InstanceId::from_bytes([0xfb, 0xef, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let (java, librdkafka) = (id.to_string(), id.to_base64());
        assert!(java.starts_with("--__") && librdkafka.starts_with("++//"), "{java} {librdkafka}");
        for text in [java, librdkafka.trim_end_matches('=').to_owned(), librdkafka, id.to_hex()] {
            assert_eq!(InstanceId::parse_any(&text), Ok(id), "{text}");
        }
    }

    #[test]
    fn an_invalid_id_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            "orders-producer",
            "cBrordIqXpq0qkqcvYahP!",
            "cBrordIqXpq0qkqcvYahPAAA",
            "+01ae8add22a5e9ab4aa4a9cbd86a13c",
            "701ae8add22a5e9ab4aa4a9cbd86a13g",
            "701ae8ad-d22a-5e9ab4aa-4a9c-bd86a13c",
            "701ae8ad-d22a-5e9a-b4aa-4a9cbd86a1é",
        ] {
            let error = InstanceId::parse_any(text).unwrap_err();
            assert!(error.contains("32 hexadecimal digits"), "{error}");
        }
    }
}
