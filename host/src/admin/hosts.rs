//! By which names the admin endpoint may be called.
//!
//! A page of some other site can have its own name resolve to this host, and its visitor's browser then takes the
//! endpoint for a part of that site (DNS rebinding). The browser still says the name, so a name that is not ours is
//! refused. An IP address is never such a name.

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// The names.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Checks the name that a request gives; if it will not do, says why.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err("give exactly one `Host` header".into());
        };
        let host = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        let host = host.ok_or("the `Host` header is not a host name with an optional port")?;
        [Some(&host), uri.authority()].into_iter().flatten().try_for_each(|authority| self.knows(authority.host()))
    }

    fn knows(&self, name: &str) -> Result<(), String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_known = || self.0.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_address || name.eq_ignore_ascii_case("localhost") || is_known() {
            return Ok(());
        }
        Err(format!(
            "`{name}` is no name of this endpoint: call it by its IP address, or list the name in `admin.hosts`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[&str]) -> Result<(), String> {
        let ours = Hosts::new(vec!["telemetry.example".into()]);
        let headers = hosts.iter().map(|host| (HOST, host.parse().unwrap())).collect();
        ours.check(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn addresses_and_own_names_pass() {
        for host in ["127.0.0.1:9464", "[::1]:9464", "10.1.2.3", "localhost:9464", "LOCALHOST.", "Telemetry.example:80"]
        {
            assert_eq!(check(&[host]), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_do_not() {
        for host in ["evil.example", "127.0.0.1.evil.example:9464", "localhost.evil.example", "", "a b", "telemetry"] {
            assert!(check(&[host]).is_err(), "{host}");
        }
        assert!(check(&["evil.example"]).unwrap_err().contains("`evil.example`"));
    }

    #[test]
    fn a_request_names_one_host() {
        assert!(check(&[]).is_err());
        assert!(check(&["localhost", "localhost"]).is_err());
        let headers = [(HOST, "localhost".parse().unwrap())].into_iter().collect();
        let uri = Uri::from_static("http://evil.example/metrics");
        assert!(Hosts::new(Vec::new()).check(&uri, &headers).is_err(), "the one in the target counts too");
    }
}
