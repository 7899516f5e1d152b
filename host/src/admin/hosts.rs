//! By which names the admin endpoint may be called.
//!
//! A page of some other site can have its own name resolve to this host, and its visitor's browser then takes the
//! endpoint for a part of that site (DNS rebinding). The browser still says the name, so a name that is not ours is
//! refused. An IP address is never such a name.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// The names.
#[derive(Clone, Debug)]
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
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
        [Some(&host), uri.authority()].into_iter().flatten().try_for_each(|authority| self.check_name(authority.host()))
    }

    /// Checks the site whose page sends a request, where a browser names one. An address is no name of ours: any site
    /// may have one. It will do where the request itself was sent there.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        let asked = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        headers.get_all(ORIGIN).iter().try_for_each(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            let site = origin.parse::<Uri>().ok().and_then(|uri| uri.into_parts().authority);
            let ours = site.is_some_and(|site| {
                let is = |name: &str| name.eq_ignore_ascii_case(site.host());
                asked.as_ref().is_some_and(|asked| is(asked.host())) || self.0.iter().any(|known| is(known))
            });
            if ours { Ok(()) } else { Err(format!("a page of `{origin}` may not ask: it is no name of this endpoint")) }
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
            "`{name}` is no name of this endpoint: call it by its IP address, or list the name in `admin.hosts`"
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
    fn only_our_own_pages_may_ask() {
        let ours = AllowedHosts::new(vec!["telemetry.example".into()]);
        let check = |host: &str, origin: &str| {
            ours.check_origin(&[(HOST, host.parse().unwrap()), (ORIGIN, origin.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(check("127.0.0.1:9464", "http://127.0.0.1:9464"), Ok(()));
        assert_eq!(check("localhost:9464", "https://Telemetry.example"), Ok(()));
        for origin in ["http://evil.example", "http://192.0.2.6", "http://localhost", "null", "", "http://telemetry"] {
            assert!(check("127.0.0.1:9464", origin).is_err(), "{origin}");
        }
        assert_eq!(ours.check_origin(&HeaderMap::new()), Ok(()), "no browser says nothing");
    }

    #[test]
    fn a_request_names_one_host() {
        assert!(check(&[]).is_err());
        assert!(check(&["localhost", "localhost"]).is_err());
        let headers = [(HOST, "localhost".parse().unwrap())].into_iter().collect();
        let uri = Uri::from_static("http://evil.example/metrics");
        assert!(AllowedHosts::new(Vec::new()).check(&uri, &headers).is_err(), "the one in the target counts too");
    }
}
