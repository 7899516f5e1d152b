//! OAUTHBEARER's messages (RFC 7628): a token, and for an invalid one an error as JSON, which the client acknowledges
//! with a dummy message before it learns that it failed.

/// The response to an invalid token (RFC 7628 §3.2.2), as sent by Kafka's broker.
pub(super) const INVALID_TOKEN: &[u8] = br#"{"status":"invalid_token"}"#;

/// The client's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OAuthBearerMessage<'a> {
    pub(super) token: &'a str,
    /// The user to act for, if any: it must be the token's own user.
    pub(super) acting_for: Option<&'a str>,
}

/// Parses `n,[a=authzid],` and key-value pairs, each terminated by 0x01, and a final 0x01. Pairs other than `auth` are
/// extensions (KIP-342) and are ignored.
pub(super) fn read(message: &[u8]) -> Result<OAuthBearerMessage<'_>, &'static str> {
    let text = std::str::from_utf8(message).map_err(|_| "it is not UTF-8")?;
    let (header, pairs) = text.split_once('\x01').ok_or("it has no key-value pairs")?;
    let acting_for = match header.strip_prefix("n,").and_then(|rest| rest.strip_suffix(',')) {
        None => return Err("its header is not that of a client without channel binding"),
        Some("") => None,
        Some(rest) => Some(rest.strip_prefix("a=").ok_or("its header has something other than a name")?),
    };
    let pairs = pairs.strip_suffix("\x01\x01").ok_or("it is not terminated by 0x01 0x01")?;
    let auth = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth=")).ok_or("it has no token")?;
    let (scheme, token) = auth.split_once(' ').ok_or("it has no token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("its token is not a bearer token");
    }
    Ok(OAuthBearerMessage { token: token.trim(), acting_for })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found() {
        let said = read(b"n,,\x01auth=Bearer a.b.c\x01\x01").unwrap();
        assert_eq!((said.token, said.acting_for), ("a.b.c", None));
        let said = read(b"n,a=alice,\x01x=y\x01auth=bearer  t\x01z=\x01\x01").unwrap();
        assert_eq!((said.token, said.acting_for), ("t", Some("alice")));
    }

    #[test]
    fn other_messages_are_refused() {
        for bad in [
            &b""[..],
            b"\x01",
            b"n,,auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer a\x01",
            b"n,,\x01auth=Basic a\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01other=Bearer a\x01\x01",
            b"p=tls,,\x01auth=Bearer a\x01\x01",
            b"n,b=c,\x01auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
