//! Why a request cannot be sent, in words: the same natively and in a component.

use super::{Error, Request};

/// Most bytes of a request's headers: names and values, and [`HEADER_COST`] for each. Above that the host would end the
/// instance (its own limit is twice as high).
pub(super) const MAX_HEADER_BYTES: usize = 64 * 1024;
/// What the host counts for a header beside its name and value, at most.
const HEADER_COST: usize = 80;

/// What this crate refuses by itself, on both sides.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    if request.method == "CONNECT" {
        return Err(invalid("the method CONNECT is never sent: it would be a tunnel".to_owned()));
    }
    let bytes = request.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_COST).sum::<usize>();
    if bytes > MAX_HEADER_BYTES {
        return Err(invalid(format!("its headers take {bytes} bytes, and may take {MAX_HEADER_BYTES}")));
    }
    match request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        Some((name, _)) => Err(invalid(format!("the header `{name}` is set from the body: leave it out"))),
        None => Ok(()),
    }
}

/// A header that `wasi:http` forbids to guests: those of the connection, which is the host's.
pub(crate) fn forbidden_header(name: &str) -> Error {
    invalid(format!("the header `{name}` is of the connection, which is the host's: leave it out"))
}

/// A header whose name or value HTTP does not allow. The value may be a secret: it is never repeated.
pub(crate) fn malformed_header(name: &str) -> Error {
    let shown = name.escape_debug();
    if is_token(name) {
        invalid(format!("the value of the header `{shown}` holds a line break or another control character"))
    } else {
        invalid(format!("`{shown}` is not the name of a header: write letters, digits and hyphens"))
    }
}

pub(crate) fn method(method: &str) -> Error {
    invalid(format!("`{}` is not a method of HTTP", method.escape_debug()))
}

pub(crate) fn authority(authority: &str) -> Error {
    invalid(format!("`{}` is not a host with an optional port", authority.escape_debug()))
}

pub(crate) fn path(path: &str) -> Error {
    invalid(format!("`{}` is not a path: write what HTTP does not allow there as %XX", path.escape_debug()))
}

fn invalid(reason: String) -> Error {
    Error::InvalidRequest(reason)
}

/// RFC 9110, `token`.
fn is_token(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}
