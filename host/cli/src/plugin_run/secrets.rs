//! Hides credentials in printed requests unless they are asked for, since authors paste the output into issues.

use http::{HeaderName, HeaderValue, Uri};

/// Parts of header and parameter names that indicate a credential.
const SECRET: [&str; 10] =
    ["auth", "cookie", "token", "secret", "passw", "credential", "api-key", "api_key", "apikey", "signature"];

const HIDDEN: &str = "(hidden; use --show-secrets)";

/// Hides credentials, or shows them.
#[derive(Clone, Copy)]
pub(super) struct SecretMask {
    pub(super) shown: bool,
}

impl SecretMask {
    /// The value of a header. The first word of a credential, its scheme, is not hidden.
    pub(super) fn header(self, name: &HeaderName, value: &HeaderValue) -> String {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if self.shown || !is_secret(name.as_str()) {
            return text;
        }
        match text.split_once(' ') {
            Some((scheme, _)) => format!("{scheme} {HIDDEN}"),
            None => HIDDEN.to_owned(),
        }
    }

    /// A URI, without the values of secret query parameters.
    pub(super) fn uri(self, uri: &Uri) -> String {
        let text = uri.to_string();
        let Some((rest, query)) = text.split_once('?').filter(|_| !self.shown) else { return text };
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
            _ => parameter.to_owned(),
        });
        format!("{rest}?{}", parameters.collect::<Vec<_>>().join("&"))
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_unless_requested() {
        let header = |shown: bool, name: &str, value: &str| {
            SecretMask { shown }.header(&name.parse().unwrap(), &HeaderValue::from_str(value).unwrap())
        };
        assert_eq!(header(false, "authorization", "Token abc"), format!("Token {HIDDEN}"));
        assert_eq!(header(false, "X-Api-Key", "abc"), HIDDEN);
        assert_eq!(header(true, "authorization", "Token abc"), "Token abc");
        assert_eq!(header(false, "content-type", "text/plain"), "text/plain");
        let uri: Uri = "http://sink/write?db=x&access_token=abc".parse().unwrap();
        assert_eq!(SecretMask { shown: false }.uri(&uri), format!("http://sink/write?db=x&access_token={HIDDEN}"));
        assert_eq!(SecretMask { shown: true }.uri(&uri), uri.to_string());
    }
}
