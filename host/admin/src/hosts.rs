//! The host names that requests to the admin endpoint may use.
//!
//! A page of another site can resolve its own name to this host, and the browser of its visitor then treats the
//! endpoint as a part of that site (DNS rebinding). The browser still sends the name, so an unknown name is rejected.
//! An IP address is never such a name.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// The accepted names.
#[derive(Clone, Debug)]
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Checks the host name of a request; the error is the reason.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err("send exactly one `Host` header".into());
        };
        let host = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        let host = host.ok_or("the `Host` header is not a host name with an optional port")?;
        [Some(&host), uri.authority()].into_iter().flatten().try_for_each(|authority| self.check_name(authority.host()))
    }

    /// Checks the `Origin` of a request, if a browser sends one. An IP address is not accepted as our own name, because
    /// any site may have one, except if the request itself was sent to that address.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        let asked = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        headers.get_all(ORIGIN).iter().try_for_each(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            let site = origin.parse::<Uri>().ok().and_then(|uri| uri.into_parts().authority);
            let ours = site.is_some_and(|site| {
                let is = |name: &str| name.eq_ignore_ascii_case(site.host());
                asked.as_ref().is_some_and(|asked| is(asked.host())) || self.0.iter().any(|known| is(known))
            });
            if ours {
                Ok(())
            } else {
                Err(format!(
                    "requests from pages of `{origin}` are not allowed: it is not a host name of this endpoint"
                ))
            }
        })
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_known = || self.0.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_address || name.eq_ignore_ascii_case("localhost") || is_known() {
            return Ok(());
        }
        Err(format!(
            "`{name}` is not a host name of this endpoint: use its IP address, or add the name to `admin.hosts`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[&str]) -> Result<(), String> {
        let ours = AllowedHosts::new(vec!["telemetry.example".into()]);
        let headers = hosts.iter().map(|host| (HOST, host.parse().unwrap())).collect();
        ours.check(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn addresses_and_own_names_are_accepted() {
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
    fn only_pages_of_own_names_are_accepted() {
        let ours = AllowedHosts::new(vec!["telemetry.example".into()]);
        let check = |host: &str, origin: &str| {
            ours.check_origin(&[(HOST, host.parse().unwrap()), (ORIGIN, origin.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(check("127.0.0.1:9464", "http://127.0.0.1:9464"), Ok(()));
        assert_eq!(check("localhost:9464", "https://Telemetry.example"), Ok(()));
        for origin in ["http://evil.example", "http://192.0.2.6", "http://localhost", "null", "", "http://telemetry"] {
            assert!(check("127.0.0.1:9464", origin).is_err(), "{origin}");
        }
        assert_eq!(
            ours.check_origin(&HeaderMap::new()),
            Ok(()),
            "without an Origin header it is not a cross-site request"
        );
    }

    #[test]
    fn a_request_needs_exactly_one_host_name() {
        assert!(check(&[]).is_err());
        assert!(check(&["localhost", "localhost"]).is_err());
        let headers = [(HOST, "localhost".parse().unwrap())].into_iter().collect();
        let uri = Uri::from_static("http://evil.example/metrics");
        assert!(
            AllowedHosts::new(Vec::new()).check(&uri, &headers).is_err(),
            "a name in the request target is checked as well"
        );
    }
}
