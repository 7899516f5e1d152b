//! The principal of a client certificate, as Kafka's brokers build it by default: `User:` and the subject's
//! distinguished name by RFC 2253, identical to what Java's `X500Principal.getName()` returns, so that access lists can
//! be shared.

use std::fmt::Write as _;
use std::sync::Arc;

use x509_parser::asn1_rs::{Any, Class, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName};

/// Attributes that have a short name (RFC 2253, section 2.3).
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The principal of this certificate (DER). The error is for the log.
pub(crate) fn principal(certificate: &[u8]) -> Result<Arc<str>, String> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|error| format!("the client's certificate: {error}"))?;
    let mut parts: Vec<String> = certificate.subject().iter().map(part).collect();
    // A certificate lists the least specific part first, the text form the most specific.
    parts.reverse();
    Ok(format!("User:{}", parts.join(",")).into())
}

fn part(part: &RelativeDistinguishedName<'_>) -> String {
    part.iter().map(attribute).collect::<Vec<_>>().join("+")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(oid, _)| *oid == kind).map(|(_, short)| short);
    match (short, text(attribute.attr_value())) {
        (Some(short), Some(text)) => format!("{short}={}", escaped(&text)),
        (short, _) => format!("{}={}", short.map_or(kind.as_str(), |short| short), hex(attribute.attr_value())),
    }
}

/// The string, if the value has a type with a text form.
fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::GeneralString => {
            Some(String::from_utf8_lossy(value.data).into_owned())
        }
        // Latin 1, as all implementations interpret it.
        Tag::TeletexString => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let (pairs, _) = value.data.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            Some(String::from_utf16_lossy(&units))
        }
        _ => None,
    }
}

/// RFC 2253, section 2.4; like Java also `=`, every `#`, and every space at both ends.
fn escaped(text: &str) -> String {
    let (lead, trail) = (text.len() - text.trim_start_matches(' ').len(), text.trim_end_matches(' ').len());
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\0' => out.push_str("\\00"),
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            ' ' if at < lead || at >= trail => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// `#` and the whole DER of the value (RFC 2253, section 2.4).
fn hex(value: &Any<'_>) -> String {
    let class = match value.class() {
        Class::Universal => 0,
        Class::Application => 0x40,
        Class::ContextSpecific => 0x80,
        Class::Private => 0xc0,
    };
    let constructed = if value.header.is_constructed() { 0x20 } else { 0 };
    // Tags from 31 on are encoded differently; no attribute of a name has one.
    let mut der = vec![class | constructed | (value.tag().0 as u8 & 0x1f)];
    let len = value.data.len();
    if len < 0x80 {
        der.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let short: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
        der.push(0x80 | short.len() as u8);
        der.extend(short);
    }
    der.extend(value.data);
    der.iter().fold(String::from("#"), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests;
