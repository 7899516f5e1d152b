//! The checks for an invalid request, with their error messages. They are the same natively and in a component.

use super::{Error, Request};

/// The maximum size of the headers of a request in bytes: names, values, and [`HEADER_COST`] for each header. The limit
/// of the host is twice as high; a request above that limit would trap the instance.
pub(super) const MAX_HEADER_BYTES: usize = 64 * 1024;
/// An upper bound of what the host counts for a header in addition to its name and value.
const HEADER_COST: usize = 80;

/// The checks that the SDK makes itself, both natively and in a component.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    if request.method == "CONNECT" {
        return Err(invalid("the method CONNECT is not allowed, because it would open a tunnel".to_owned()));
    }
    let bytes = request.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_COST).sum::<usize>();
    if bytes > MAX_HEADER_BYTES {
        return Err(invalid(format!("the headers have {bytes} bytes; the limit is {MAX_HEADER_BYTES}")));
    }
    match request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        Some((name, _)) => Err(invalid(format!("the header `{name}` is set from the body; remove it"))),
        None => Ok(()),
    }
}

/// The error for a header that `wasi:http` does not allow a guest to set, because it belongs to the connection.
pub(crate) fn forbidden_header(name: &str) -> Error {
    invalid(format!("the header `{name}` belongs to the connection, which the host controls; remove it"))
}

/// The error for a header whose name or value is not valid in HTTP. The value may be a secret, so the message does not
/// contain it.
pub(crate) fn malformed_header(name: &str) -> Error {
    let shown = name.escape_debug();
    if is_token(name) {
        invalid(format!("the value of the header `{shown}` contains a line break or another control character"))
    } else {
        invalid(format!("`{shown}` is not a valid header name; use letters, digits and hyphens"))
    }
}

pub(crate) fn method(method: &str) -> Error {
    invalid(format!("`{}` is not a valid HTTP method", method.escape_debug()))
}

pub(crate) fn authority(authority: &str) -> Error {
    invalid(format!("`{}` is not a valid host with an optional port", authority.escape_debug()))
}

pub(crate) fn path(path: &str) -> Error {
    invalid(format!(
        "`{}` is not a valid path; percent-encode the characters that HTTP does not allow",
        path.escape_debug()
    ))
}

fn invalid(reason: String) -> Error {
    Error::InvalidRequest(reason)
}

/// Whether the text is a `token` of RFC 9110.
fn is_token(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}
