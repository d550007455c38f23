//! Where a node of a service elsewhere listens.

use std::fmt;
use std::str::FromStr;

/// A host with its port, spoken to over TLS or not: `host:port`, `http://host:port` or `https://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub tls: bool,
    /// A name or an address, lower case, an IPv6 address without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address: use `host:port` or `https://host`");
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(wrong()),
            None => (false, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) = rest.split_once(']').ok_or_else(wrong)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                (host, if tail.is_empty() { None } else { Some(tail.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
            None if tls => 443,
            None => return Err(format!("`{text}` has no port: use `host:port` or `https://host`")),
        };
        let is_label = |part: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&part.len()) && part.bytes().all(inner)
        };
        if !host.contains(':') && (host.len() > 253 || !host.split('.').all(is_label)) {
            return Err(wrong());
        }
        Ok(Self { tls, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https://" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (text, wanted) in [
            ("localhost:9000", "localhost:9000"),
            ("API.example.com:80", "api.example.com:80"),
            ("http://10.0.0.1:80/", "10.0.0.1:80"),
            ("https://api.example.com", "https://api.example.com:443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), wanted);
            assert_eq!(wanted.parse::<Address>().unwrap(), address, "what is shown can be read");
        }
        for text in [
            "",
            "localhost",
            "localhost:0",
            "localhost:99999",
            "ftp://a:1",
            "a b:80",
            "user@host:80",
            "host:80/path",
            "host:80?x",
            ":80",
            "[::1]",
            "[x]:80",
            "::1:80",
            "a..b:80",
            "host:80\r\nx: y",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
