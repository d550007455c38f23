//! The hosts that a revision was granted.

use http::uri::Authority;

use crate::GrantError;

/// The port that a grant without one means.
const PORT: u16 = 443;

/// Hosts with ports, exact; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<(String, u16)>);

impl AllowedHosts {
    /// Reads `[grants] http`: `host:port`, or `host` for port 443.
    ///
    /// # Errors
    /// An entry that is not a host.
    pub fn new(entries: &[String]) -> Result<Self, GrantError> {
        let parse = |entry: &String| {
            let authority =
                entry.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
            let host = authority.as_ref().map(|authority| normalise(authority.host()));
            let port = authority.as_ref().map_or(Some(PORT), |authority| port_of(authority, PORT));
            let (Some(host), Some(port)) = (host.filter(|host| is_host(host)), port) else {
                return Err(GrantError {
                    key: "http",
                    value: entry.clone(),
                    hint: "use \"host:port\", or \"host\" for port 443",
                });
            };
            Ok((host, port))
        };
        entries.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a call to `host` (normalised) and `port` is granted.
    pub(crate) fn allow(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|(granted, on)| granted == host && *on == port)
    }
}

/// Lower case, without a final dot; an IPv6 address without its brackets.
pub(crate) fn normalise(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The authority's port, `default` without one, none if it has one that is no port.
pub(crate) fn port_of(authority: &Authority, default: u16) -> Option<u16> {
    let after_host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, rest)| rest);
    if after_host.len() == authority.host().len() {
        return Some(default);
    }
    authority.port_u16().filter(|port| *port != 0)
}

fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    host.parse::<std::net::IpAddr>().is_ok() || (!host.is_empty() && host.bytes().all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> Result<AllowedHosts, GrantError> {
        AllowedHosts::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn grants_are_exact() {
        let hosts = allowed(&["API.example.com", "example.org:8080", "[::1]:80"]).unwrap();
        assert!(hosts.allow("api.example.com", 443));
        assert!(hosts.allow("example.org", 8080));
        assert!(hosts.allow("::1", 80));
        for (host, port) in [
            ("api.example.com", 80),
            ("example.com", 443),
            ("evil-api.example.com", 443),
            ("api.example.com.evil.org", 443),
            ("example.org", 443),
        ] {
            assert!(!hosts.allow(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_at_once() {
        for entry in
            ["", "https://example.com", "a b", "user@example.com", "example.com:0", "example.com:99999", "*"]
        {
            assert!(allowed(&[entry]).is_err(), "{entry}");
        }
    }
}
