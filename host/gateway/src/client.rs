//! Who is at the other end: the address and the scheme that a client used.
//!
//! Anybody can write `X-Forwarded-For`. It is read only where the connection comes from a proxy that the operator
//! trusts, from the right: each entry was written by the machine to the right of it, so the first one that is no trusted
//! proxy is the client. What stands left of it is the client's own word and is thrown away.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::Config;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the client reached the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme need not name.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// The machine that a connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: IpAddr,
    header: HeaderValue,
    is_proxy: bool,
}

/// The client of one request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// The address as services and logs see it.
    pub(crate) header: HeaderValue,
    pub(crate) scheme: Scheme,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, config: &Config) -> Self {
        let address = address.to_canonical();
        Self { address, header: text(address), is_proxy: is_trusted(address, &config.trusted_proxies) }
    }

    /// The client of a request that came by this connection.
    pub(crate) fn client(&self, headers: &HeaderMap, config: &Config) -> Client {
        let own = Client { address: self.address, header: self.header.clone(), scheme: config.scheme() };
        if !self.is_proxy {
            return own;
        }
        let (hops, scheme) = forwarded(headers);
        let address = farthest(self.address, hops, &config.trusted_proxies);
        Client { address, header: text(address), scheme: scheme.unwrap_or(own.scheme) }
    }
}

/// The right-most address that is no trusted proxy; what cannot be read ends the search at the last proxy that is known.
fn farthest(
    peer: IpAddr,
    hops: impl DoubleEndedIterator<Item = Option<IpAddr>>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut known = peer;
    for hop in hops.rev() {
        let Some(hop) = hop else { return known };
        known = hop;
        if !is_trusted(hop, trusted) {
            return known;
        }
    }
    known
}

/// The addresses that proxies noted, nearest last, and the scheme that the nearest proxy noted.
///
/// Where both are there, `X-Forwarded-For` counts and not `Forwarded`: most proxies write the former and pass on the
/// latter as the client sent it.
fn forwarded(headers: &HeaderMap) -> (std::vec::IntoIter<Option<IpAddr>>, Option<Scheme>) {
    let mut hops = Vec::new();
    let mut scheme = None;
    let is_x = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(X_FORWARDED_PROTO);
    if is_x {
        for list in headers.get_all(X_FORWARDED_FOR) {
            hops.extend(list.to_str().unwrap_or("?").split(',').map(address));
        }
        let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        scheme = last.and_then(|text| Scheme::parse(text.trim()));
    } else {
        for list in headers.get_all(header::FORWARDED) {
            // A comma inside a quoted text would split it into parts that are no addresses, which is safe.
            for element in list.to_str().unwrap_or("?").split(',') {
                hops.push(parameter(element, "for").and_then(address));
                scheme = parameter(element, "proto").and_then(Scheme::parse);
            }
        }
    }
    (hops.into_iter(), scheme)
}

/// A parameter of one element of `Forwarded` (RFC 7239), without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let value =
        pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value).next()?;
    Some(value.trim().trim_matches('"'))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text,
    };
    let parsed = bare.parse().or_else(|_| bare.parse().map(|socket: std::net::SocketAddr| socket.ip()));
    parsed.ok().map(|address: IpAddr| address.to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

fn text(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(trusted: &[&str]) -> Config {
        let trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Config { trusted_proxies, ..Config::default() }
    }

    fn client(peer: &str, headers: &[(&'static str, &'static str)], trusted: &[&str]) -> (String, Scheme) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let config = config(trusted);
        let client = Peer::new(peer.parse().unwrap(), &config).client(&map, &config);
        assert_eq!(client.header.to_str().unwrap(), client.address.to_string());
        (client.header.to_str().unwrap().to_owned(), client.scheme)
    }

    #[test]
    fn a_stranger_is_who_connects_whatever_it_says() {
        let said = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=1.2.3.4;proto=https"),
        ];
        for trusted in [&[][..], &["10.0.0.0/8"]] {
            assert_eq!(client("198.51.100.7", &said, trusted), ("198.51.100.7".into(), Scheme::Http));
        }
        assert_eq!(client("::ffff:198.51.100.7", &said, &[]).0, "198.51.100.7");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_stranger_is_the_client() {
        let trusted = &["10.0.0.0/8", "2001:db8:1::/48"];
        for (said, wanted) in [
            ("198.51.100.7", "198.51.100.7"),
            // The client wrote the first itself.
            ("1.2.3.4, 198.51.100.7", "198.51.100.7"),
            ("1.2.3.4, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
            // A trusted address left of a stranger proves nothing.
            ("10.0.0.1, 198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:5555", "198.51.100.7"),
            ("[2001:db8::7]:5555, 2001:db8:1::1", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            // All are ours: the farthest one is known.
            ("10.0.0.8, 10.0.0.9", "10.0.0.8"),
            // What cannot be read ends the search.
            ("1.2.3.4, unknown", "10.0.0.1"),
            ("1.2.3.4, unknown, 10.0.0.9", "10.0.0.9"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-for", said)], trusted).0, wanted, "{said}");
        }
        let two = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("10.0.0.1", &two, trusted).0, "198.51.100.7");
    }

    #[test]
    fn forwarded_counts_where_the_older_headers_are_absent() {
        let trusted = &["10.0.0.0/8"];
        let said = [("forwarded", "for=1.2.3.4, For=\"[2001:db8::7]:99\";proto=https;by=10.0.0.9")];
        assert_eq!(client("10.0.0.1", &said, trusted), ("2001:db8::7".into(), Scheme::Https));
        let both = [said[0], ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("10.0.0.1", &both, trusted), ("198.51.100.7".into(), Scheme::Http));
        assert_eq!(client("10.0.0.1", &[("forwarded", "for=_hidden")], trusted).0, "10.0.0.1");
    }

    #[test]
    fn the_scheme_is_the_nearest_proxys_word_or_the_public_urls() {
        let trusted = &["10.0.0.0/8"];
        for (said, wanted) in [
            ("https", Scheme::Https),
            ("HTTPS", Scheme::Https),
            ("http", Scheme::Http),
            ("https, http", Scheme::Http),
            ("gopher", Scheme::Http),
        ] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-proto", said)], trusted).1, wanted, "{said}");
        }
        let config = Config { public_url: Some("https://example.com".to_owned()), ..config(&[]) };
        let peer = Peer::new("10.0.0.1".parse().unwrap(), &config);
        let http = HeaderMap::from_iter([(X_FORWARDED_PROTO, HeaderValue::from_static("http"))]);
        assert_eq!(peer.client(&http, &config).scheme, Scheme::Https);
    }
}
