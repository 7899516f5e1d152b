//! PLAIN (RFC 4616): one message with everything, `[authzid] NUL authcid NUL passwd`.

/// Name and password.
pub(super) fn read(token: &[u8]) -> Result<(&str, &str), &'static str> {
    let text = std::str::from_utf8(token).map_err(|_| "it is not UTF-8")?;
    let mut parts = text.split('\0');
    let (Some(acting_for), Some(name), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it does not have three parts");
    };
    if name.is_empty() || password.is_empty() {
        return Err("the user or the password is empty");
    }
    // As in Kafka's own broker, no user acts for another.
    if !acting_for.is_empty() && acting_for != name {
        return Err("it asks to act for another user");
    }
    Ok((name, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_make_a_message() {
        assert_eq!(read(b"\0alice\0secret"), Ok(("alice", "secret")));
        assert_eq!(read(b"alice\0alice\0s=, \xc3\xa4"), Ok(("alice", "s=, ä")));
        for bad in [&b""[..], b"\0alice", b"\0alice\0a\0b", b"\0\0x", b"\0alice\0", b"bob\0alice\0x", b"\0\xff\0x"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
