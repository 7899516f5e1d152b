//! A URL, split into the three parts that `wasi:http` needs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// The error for a text that is not a valid URL; it says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl(String);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidUrl {}

/// An `http` or `https` URL. It is displayed as text, and deserialized from text in settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Url {
    /// Whether the scheme is `https` and not `http`.
    pub tls: bool,
    /// The host, with the port if the URL has one.
    pub authority: String,
    /// The path and the query, at least `/`. A fragment is removed.
    pub path: String,
}

impl Url {
    /// The host and the port, including the default port. Grants have this form.
    pub fn host_and_port(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        match self.port() {
            Some(_) => self.authority.clone(),
            None => format!("{}:{default}", self.authority.trim_end_matches(':')),
        }
    }

    fn port(&self) -> Option<&str> {
        // A colon inside the brackets of an IPv6 address does not start a port.
        let after_host = self.authority.rsplit(']').next()?;
        let (_, port) = after_host.rsplit_once(':')?;
        (!port.is_empty()).then_some(port)
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        // The text before `@` may be credentials, so the message must not contain it.
        let shown = text.split_once('@').map_or(text, |(_, rest)| rest).escape_debug();
        let refused = |cause: &str| InvalidUrl(format!("`{shown}` is not a valid URL: {cause}"));
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| refused("it does not start with http:// or https://"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(refused("the scheme is neither http nor https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(refused("credentials belong in a header, not in the URL"));
        }
        // The host compares names without the brackets of an IPv6 address and without the trailing dot.
        let name = authority.strip_prefix('[').map_or_else(
            || authority.split(':').next().unwrap_or_default(),
            |rest| rest.split(']').next().unwrap_or_default(),
        );
        if name.strip_suffix('.').unwrap_or(name).is_empty() {
            return Err(refused("it has no host"));
        }
        if rest.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
            return Err(refused("it contains white space; encode it as %20"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let url = Self { tls, authority: authority.to_owned(), path };
        match url.port() {
            Some(port) if port.parse::<u16>().is_err() => Err(refused("the port is not a number up to 65535")),
            _ => Ok(url),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        let whole = url("https://sink.example:4318/v1/metrics?tenant=a#part");
        assert_eq!(
            whole,
            Url { tls: true, authority: "sink.example:4318".into(), path: "/v1/metrics?tenant=a".into() }
        );
        assert_eq!(url("HTTP://sink").path, "/");
        assert_eq!(url("http://sink?x=1").path, "/?x=1");
        assert_eq!(url("http://sink?x=1").to_string(), "http://sink/?x=1");
    }

    #[test]
    fn the_default_port_is_part_of_host_and_port() {
        assert_eq!(url("https://sink/x").host_and_port(), "sink:443");
        assert_eq!(url("http://sink:8080").host_and_port(), "sink:8080");
        assert_eq!(url("http://[::1]").host_and_port(), "[::1]:80");
        assert_eq!(url("http://[::1]:4318/").host_and_port(), "[::1]:4318");
    }

    #[test]
    fn an_invalid_url_is_refused_with_its_cause() {
        for (text, cause) in [
            ("sink:4318", "http:// or https://"),
            ("ftp://sink", "scheme"),
            ("http:///path", "no host"),
            ("http://:80/", "no host"),
            ("http://[]:80/", "no host"),
            ("http://./", "no host"),
            ("http://me:secret@sink/", "credentials"),
            ("http://sink:port/", "port"),
            ("http://sink:99999/", "port"),
            ("http://sink/a b", "white space"),
            ("http://sink/\r\nx: y", "white space"),
        ] {
            let refusal = text.parse::<Url>().unwrap_err().to_string();
            assert!(refusal.contains(cause) && !refusal.contains("secret"), "{text}: {refusal}");
        }
    }
}
