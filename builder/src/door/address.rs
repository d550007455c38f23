//! Which addresses a tenant's source may lie at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator opened beyond the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Loopback addresses.
    pub(crate) loopback: bool,
    /// Hosts by name, addresses, or ranges.
    pub(crate) private: Vec<Opened>,
}

/// One entry of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opened {
    Host(String),
    Range { network: IpAddr, bits: u8 },
}

impl std::str::FromStr for Opened {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        match (address.parse::<IpAddr>(), bits) {
            (Ok(network), None) => {
                Ok(Self::Range { network, bits: if network.is_ipv4() { 32 } else { 128 } })
            }
            (Ok(network), Some(bits)) => {
                let bits = bits.parse().ok().filter(|bits| *bits <= if network.is_ipv4() { 32 } else { 128 });
                bits.map(|bits| Self::Range { network, bits })
                    .ok_or_else(|| format!("`{text}` is not a range"))
            }
            (Err(_), None) if !text.is_empty() => Ok(Self::Host(text.to_ascii_lowercase())),
            _ => Err(format!("`{text}` is neither a host name nor a range such as 10.0.0.0/8")),
        }
    }
}

impl Opened {
    fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::Range { network: IpAddr::V4(network), bits } => {
                let IpAddr::V4(address) = address else { return false };
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            Self::Range { network: IpAddr::V6(network), bits } => {
                let IpAddr::V6(address) = address else { return false };
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
        }
    }
}

impl Policy {
    /// Whether `host`, which has this address now, may be connected to.
    pub(crate) fn permits(&self, host: &str, address: IpAddr) -> bool {
        let address = unwrap(address);
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.private.iter().any(|opened| opened.covers(host, address))
    }
}

impl Policy {
    /// Whether the operator opened a host as it is spelt, before its name is looked up.
    pub(crate) fn is_opened(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => !is_public(unwrap(address)) && self.permits(host, address),
            Err(_) if host == "localhost" => self.loopback,
            Err(_) => self.private.contains(&Opened::Host(host.to_owned())),
        }
    }
}

/// The IPv4 address inside an IPv6 one that stands for it.
fn unwrap(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let octets = v6.octets();
    let inner = |at: usize| {
        let bytes: Option<[u8; 4]> = octets.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Ipv4Addr::from)
    };
    match v6.segments() {
        // NAT64 and 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(12).map_or(address, IpAddr::V4),
        [0x2002, ..] => inner(2).map_or(address, IpAddr::V4),
        _ => address,
    }
}

/// Globally reachable, as far as a list of ranges can say.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let reserved = matches!(
        (a, b, c),
        (0 | 10 | 127 | 240..=255, ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _)
    );
    !(reserved
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || v4.is_unspecified())
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    // Only 2000::/3 is given out; documentation, Teredo and the like lie inside it.
    let [first, second, ..] = v6.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0x0db8 || second < 0x0200)) && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_ranges_are_refused_in_every_spelling() {
        let policy = Policy::default();
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "203.0.113.9",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
            "::127.0.0.1",
        ] {
            assert!(!policy.permits("host", text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "140.82.121.4", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(policy.permits("host", text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_operator_opens_loopback_ranges_and_names() {
        let local = Policy { loopback: true, private: Vec::new() };
        assert!(local.permits("localhost", "127.0.0.1".parse().unwrap()));
        assert!(!local.permits("localhost", "10.0.0.1".parse().unwrap()));
        let listed = Policy {
            loopback: false,
            private: vec![
                "10.1.0.0/16".parse().unwrap(),
                "git.corp".parse().unwrap(),
                "fd00::/8".parse().unwrap(),
            ],
        };
        assert!(listed.permits("a", "10.1.255.1".parse().unwrap()));
        assert!(!listed.permits("a", "10.2.0.1".parse().unwrap()));
        assert!(listed.permits("git.corp", "192.168.0.1".parse().unwrap()));
        assert!(!listed.permits("other.corp", "192.168.0.1".parse().unwrap()));
        assert!(listed.permits("a", "fd12::1".parse().unwrap()));
        for text in ["10.0.0.0/33", "x/8", ""] {
            assert!(text.parse::<Opened>().is_err(), "{text}");
        }
    }
}
