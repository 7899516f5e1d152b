//! The shape of a W3C `traceparent` header.

/// `version-traceid-parentid-flags` in lower-case hexadecimal, ids not all zero. Later versions may append more after a
/// dash.
pub(super) fn is_valid(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut part = |len: usize| parts.next().filter(|p| p.len() == len && p.bytes().all(is_hex));
    let (version, trace, parent, flags) = (part(2), part(32), part(16), part(2));
    let known = version == Some("00");
    version.is_some_and(|v| v != "ff")
        && [trace, parent].iter().all(|id| id.is_some_and(|id| id.bytes().any(|b| b != b'0')))
        && flags.is_some()
        && (!known || text.len() == 55)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn the_shape_is_that_of_the_specification() {
        assert!(is_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(is_valid("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later"));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
