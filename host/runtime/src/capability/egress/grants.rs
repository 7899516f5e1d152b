//! The destinations that a plugin may reach. The checks do not access the network.

use std::fmt;
use std::net::IpAddr;

use super::address::is_public;
use super::target::{normalize_host, parse_ip};
use barnabas_base::units::cidr::Cidr;

/// The granted destinations by name and port, and the granted networks by address. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    hosts: Vec<GrantedDestination>,
    networks: Vec<Cidr>,
    own_listeners: bool,
}

/// The maximum length of the summary of the grants.
const MAX_SUMMARY_CHARS: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
struct GrantedDestination {
    host: HostPattern,
    /// `None` means any port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Name(String),
    /// The suffix with its leading dot.
    Suffix(String),
    Literal(IpAddr),
    Any,
}

impl Grants {
    /// Parses the grants of a manifest. Each entry of `http` is `host:port`, where the host is a name, `*.suffix` or an
    /// address (IPv6 in brackets) and the port may be `*`. Each entry of `addresses` is a network such as `10.0.0.0/8`,
    /// in which the granted names may lie although it is not public.
    pub fn parse(http: &[String], addresses: &[String]) -> Result<Self, String> {
        let hosts = http.iter().map(|entry| GrantedDestination::parse(entry)).collect::<Result<_, _>>()?;
        let networks = addresses.iter().map(|entry| entry.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { hosts, networks, own_listeners: false })
    }

    /// Grants every destination at every address, for an author who runs a receiver locally. A manifest cannot express
    /// it.
    pub fn everything() -> Self {
        let everywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("it is a network"));
        Self {
            hosts: vec![GrantedDestination { host: HostPattern::Any, port: None }],
            networks: everywhere.into(),
            own_listeners: true,
        }
    }

    /// Includes or excludes the listeners of the host as destinations.
    #[must_use]
    pub fn with_own_listeners(self, own_listeners: bool) -> Self {
        Self { own_listeners, ..self }
    }

    /// Whether a granted destination may be a listener of the host.
    pub fn own_listeners(&self) -> bool {
        self.own_listeners
    }

    /// The destinations as text. A long list is truncated, with the number of the remaining destinations.
    pub fn summary(&self) -> String {
        let mut listed = String::new();
        for (index, granted) in self.hosts.iter().enumerate() {
            let granted = granted.to_string();
            if index > 0 && listed.len() + granted.len() > MAX_SUMMARY_CHARS {
                return format!("{listed} and {} more", self.hosts.len() - index);
            }
            listed = if index == 0 { granted } else { format!("{listed}, {granted}") };
        }
        listed
    }

    /// Whether no destination is granted.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether the grants include this destination. [`Self::permits`] checks its addresses.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let host = normalize_host(host);
        self.matching(&host, port).next().is_some()
    }

    /// Whether this address of `host` may be dialled. A public address may. Any other address needs a granted network,
    /// or a grant of the address itself, or a grant of `localhost` if it is a loopback address.
    pub fn permits(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let host = normalize_host(host);
        let canonical = address.to_canonical();
        is_public(address)
            || self.networks.iter().any(|network| network.contains(address) || network.contains(canonical))
            || self.matching(&host, port).any(|granted| granted.host.grants_address(canonical))
    }

    fn matching<'a>(&'a self, host: &'a str, port: u16) -> impl Iterator<Item = &'a GrantedDestination> {
        self.hosts.iter().filter(move |granted| granted.port.is_none_or(|p| p == port) && granted.host.matches(host))
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match (self, parse_ip(host)) {
            (Self::Literal(granted), Some(asked)) => *granted == asked,
            (Self::Name(granted), None) => granted == host,
            (Self::Any, _) => true,
            (Self::Suffix(suffix), None) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            _ => false,
        }
    }

    fn grants_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Literal(granted) => *granted == address,
            Self::Name(name) => name == "localhost" && address.is_loopback(),
            Self::Suffix(_) | Self::Any => false,
        }
    }
}

impl fmt::Display for GrantedDestination {
    /// The form in which a manifest has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Name(name) => f.write_str(name)?,
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}")?,
            HostPattern::Literal(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            HostPattern::Literal(address) => write!(f, "{address}")?,
            HostPattern::Any => f.write_str("*")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl GrantedDestination {
    fn parse(entry: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!("`{entry}` is not a valid destination: {what}, for example `otel.example.org:4318`"))
        };
        let Some((host, port)) = entry.trim().rsplit_once(':') else {
            return wrong("set the host and the port");
        };
        let port = match port {
            "*" => None,
            digits => match digits.parse() {
                Ok(number) if number > 0 => Some(number),
                _ => return wrong("the port must be a number from 1 to 65535, or `*`"),
            },
        };
        if host.contains("://") || host.contains(['/', '@']) {
            return wrong("remove the scheme, the path and the user");
        }
        match HostPattern::parse(host) {
            Some(host) => Ok(Self { host, port }),
            None => wrong("the host must be a name, `*.suffix` or an address (IPv6 in brackets)"),
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') && !(text.starts_with('[') && text.ends_with(']')) {
            return None;
        }
        let host = normalize_host(text);
        if let Some(address) = parse_ip(&host) {
            return Some(Self::Literal(address));
        }
        match host.strip_prefix('*') {
            Some(suffix) => suffix.strip_prefix('.').is_some_and(is_name).then(|| Self::Suffix(suffix.to_owned())),
            None => is_name(&host).then_some(Self::Name(host)),
        }
    }
}

/// Whether the text is a host name: labels of letters, digits, `-` and `_`, none of them empty.
fn is_name(name: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(http: &[&str], addresses: &[&str]) -> Grants {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Grants::parse(&owned(http), &owned(addresses)).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(Grants::default().is_empty());
        assert!(!Grants::default().allows("example.org", 443));
    }

    #[test]
    fn names_match_exactly_except_for_case_and_a_trailing_dot() {
        let grants = grants(&["Otel.Example.org:4318"], &[]);
        assert!(grants.allows("otel.example.ORG", 4318) && grants.allows("otel.example.org.", 4318));
        for (host, port) in [("otel.example.org", 443), ("x.otel.example.org", 4318), ("otel.example.org.evil", 4318)] {
            assert!(!grants.allows(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_suffix_matches_below_it_only() {
        let grants = grants(&["*.example.org:*"], &[]);
        assert!(grants.allows("a.example.org", 1) && grants.allows("a.b.example.org", 65535));
        assert!(!grants.allows("example.org", 443) && !grants.allows("badexample.org", 443));
        assert!(!grants.allows(".example.org", 443));
    }

    #[test]
    fn a_granted_name_at_a_private_address_needs_the_network_too() {
        let by_name = grants(&["sink.internal:4318"], &[]);
        assert!(by_name.permits("sink.internal", 4318, ip("8.8.8.8")));
        assert!(!by_name.permits("sink.internal", 4318, ip("10.0.0.5")));
        let both = grants(&["sink.internal:4318"], &["10.0.0.0/8"]);
        assert!(both.permits("sink.internal", 4318, ip("10.0.0.5")));
        assert!(both.permits("sink.internal", 4318, ip("::ffff:10.0.0.5")), "the same address in IPv6 notation");
        assert!(!both.permits("sink.internal", 4318, ip("64:ff9b::a00:5")), "reached through a translator");
        assert!(!both.permits("sink.internal", 4318, ip("169.254.169.254")));
    }

    #[test]
    fn a_granted_address_grants_itself_and_nothing_else() {
        let grants = grants(&["127.0.0.1:4318", "[fd00::5]:80"], &[]);
        assert!(grants.allows("127.0.0.1", 4318) && grants.allows("[::ffff:127.0.0.1]", 4318));
        assert!(grants.permits("127.0.0.1", 4318, ip("127.0.0.1")) && grants.permits("[fd00::5]", 80, ip("fd00::5")));
        assert!(
            !grants.permits("127.0.0.1", 4318, ip("127.0.0.2")) && !grants.permits("127.0.0.1", 80, ip("127.0.0.1"))
        );
        assert!(!grants.permits("sink", 4318, ip("127.0.0.1")) && !grants.allows("2130706433", 4318));
    }

    #[test]
    fn a_summary_shows_the_configured_destinations_and_is_bounded() {
        let written = ["sink.example:4318", "*.example.org:*", "[::1]:80", "10.0.0.1:443"];
        assert_eq!(grants(&written, &[]).summary(), written.join(", "));
        assert_eq!(Grants::default().summary(), "");
        let many: Vec<_> = (0..100).map(|n| format!("sink-{n}.example:4318")).collect();
        let listed = Grants::parse(&many, &[]).unwrap().summary();
        assert!(listed.starts_with("sink-0.example:4318, ") && listed.ends_with(" more"), "{listed}");
        assert!(listed.len() < MAX_SUMMARY_CHARS + 20, "{listed}");
    }

    #[test]
    fn localhost_means_loopback() {
        let grants = grants(&["localhost:4318"], &[]);
        assert!(grants.permits("localhost", 4318, ip("127.0.0.1")) && grants.permits("localhost", 4318, ip("::1")));
        assert!(!grants.permits("localhost", 4318, ip("10.0.0.1")) && !grants.permits("localhost", 80, ip("::1")));
    }

    #[test]
    fn an_invalid_destination_is_refused_with_an_example() {
        for entry in
            ["example.org", "https://example.org:443", "example.org:0", "example.org:70000", "*:443", "", ":80"]
        {
            let error = Grants::parse(&[entry.to_owned()], &[]).expect_err(entry);
            assert!(error.contains(&format!("`{entry}`")) && error.contains("otel.example.org:4318"), "{error}");
        }
        for entry in ["*.:443", "*example.org:443", "a..b:1", "::1:80", "user@host:80", "host/path:80", "a b:1"] {
            assert!(Grants::parse(&[entry.to_owned()], &[]).is_err(), "{entry}");
        }
        assert!(Grants::parse(&[], &["10.0.0.0/40".to_owned()]).is_err());
    }
}
