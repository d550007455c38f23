//! Where a server is: `127.0.0.1:8081`, `example.com`, `https://example.com:8443`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use url::{Host, Url};

/// The base URL of a control API. Displays as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    url: Url,
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write HOST:PORT or an http or https URL")]
pub struct AddressError(String);

impl Address {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Without a scheme a host with a port speaks HTTP, except on 443, and a host alone speaks HTTPS. A listener's
    /// address such as `:8081` or `0.0.0.0:8081` means this machine.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(text.to_owned());
        let full = if text.contains("://") { text.to_owned() } else { with_scheme(text) };
        let mut url = Url::parse(&full).map_err(|_| refuse())?;
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !plain {
            return Err(refuse());
        }
        let unspecified = match url.host() {
            Some(Host::Ipv4(address)) if address.is_unspecified() => Some("127.0.0.1"),
            Some(Host::Ipv6(address)) if address.is_unspecified() => Some("[::1]"),
            _ => None,
        };
        if let Some(loopback) = unspecified {
            url.set_host(Some(loopback)).map_err(|_| refuse())?;
        }
        Ok(Self { text: text.to_owned(), url })
    }
}

fn with_scheme(text: &str) -> String {
    if text.parse::<Ipv6Addr>().is_ok() {
        return format!("https://[{text}]");
    }
    if let Some(port) = text.strip_prefix(':') {
        return format!("http://127.0.0.1:{port}");
    }
    let port = text.rsplit_once(':').map(|(_, port)| port);
    match port {
        None | Some("443") => format!("https://{text}"),
        Some(_) => format!("http://{text}"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_url() {
        for (text, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/"),
            (":8081", "http://127.0.0.1:8081/"),
            ("0.0.0.0:8081", "http://127.0.0.1:8081/"),
            ("[::]:8081", "http://[::1]:8081/"),
            ("localhost:1", "http://localhost:1/"),
            ("example.com", "https://example.com/"),
            ("example.com:443", "https://example.com/"),
            ("https://example.com:8443/", "https://example.com:8443/"),
            ("::1", "https://[::1]/"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().url().as_str(), url, "{text}");
        }
        for text in ["", "ftp://x", "a b", "http://u:p@x", "http://x?y", "x:99999"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        let loopback = |text: &str| text.parse::<Address>().unwrap().is_loopback();
        assert!(loopback("127.0.0.1:8081") && loopback("localhost:80") && loopback("[::1]:80"));
        assert!(!loopback("example.com") && !loopback("10.0.0.1:80"));
        let encrypted = |text: &str| text.parse::<Address>().unwrap().is_encrypted();
        assert!(
            encrypted("example.com") && !encrypted("example.com:8081") && !encrypted("http://example.com")
        );
    }
}
