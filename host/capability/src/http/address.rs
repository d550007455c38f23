//! Which addresses a guest may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a guest may connect to `address`: the public internet, and loopback where the operator opened it.
pub(crate) fn is_allowed(address: IpAddr, loopback: bool) -> bool {
    if address.is_loopback() {
        return loopback;
    }
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // "This network", loopback, private, multicast, reserved and broadcast.
        (0 | 10 | 127 | 224..=255, ..) => true,
        // Carrier-grade NAT.
        (100, 64..=127, _) => true,
        // Link-local, with the metadata services of most clouds.
        (169, 254, _) => true,
        (172, 16..=31, _) | (192, 168, _) => true,
        // IETF assignments, documentation, 6to4 relays, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) | (198, 18 | 19, _) => true,
        _ => false,
    };
    // A cloud's host agent at a public address.
    let agent = Ipv4Addr::new(168, 63, 129, 16);
    !reserved && address != agent
}

/// Only global unicast, and of that nothing which carries an IPv4 address to be reached by a translator: mapped,
/// NAT64, 6to4 and Teredo addresses could name any of the above.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let reserved = match (a, b) {
        // Teredo, benchmarks, ORCHID and other IETF assignments (2001::/23), documentation.
        (0x2001, 0..=0x01ff | 0x0db8) => true,
        // 6to4.
        (0x2002, _) => true,
        // Documentation.
        (0x3fff, 0..=0x0fff) => true,
        _ => false,
    };
    global_unicast && !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reachable() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(!is_allowed(text.parse().unwrap(), false), "{text}");
        }
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert!(is_allowed(text.parse().unwrap(), false), "{text}");
        }
    }

    #[test]
    fn the_operator_opens_loopback_and_nothing_else() {
        for text in ["127.0.0.1", "::1"] {
            assert!(is_allowed(text.parse().unwrap(), true), "{text}");
        }
        for text in ["::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"] {
            assert!(!is_allowed(text.parse().unwrap(), true), "{text}");
        }
    }
}
