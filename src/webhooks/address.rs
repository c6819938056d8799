//! Which addresses may be dialled: everything public, and what `webhooks.allowed_networks` exempts. Pure.
//!
//! An endpoint's URL comes from a tenant; without this a tenant could make the server call its own network
//! (SSRF). The judgement is on the address that is about to be dialled, never on a name or a spelling.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks that are exempt from the refusal.
#[derive(Debug, Clone, Default)]
pub struct AddressRule {
    allowed: Vec<IpNet>,
}

impl AddressRule {
    /// Refuses private addresses but those in `allowed`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether this address may be dialled.
    pub fn permits(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        is_public(plain) || self.allowed.iter().any(|net| net.contains(&address) || net.contains(&plain))
    }
}

/// Set aside by IANA's special-purpose registry, and multicast.
const REFUSED_V4: [Ipv4Net; 18] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    // Carrier-grade NAT.
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    // Link-local, and with it every cloud's metadata service.
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    // AS112 answers for private names.
    v4([192, 31, 196, 0], 24),
    v4([192, 52, 193, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([192, 175, 48, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    // Reserved, and broadcast.
    v4([240, 0, 0, 0], 4),
];

/// Set aside inside the one block of IPv6 that is in public use.
const REFUSED_V6: [Ipv6Net; 4] = [
    // The IETF's protocols: Teredo, benchmarks, ORCHID, …
    v6([0x2001, 0, 0], 23),
    v6([0x2001, 0xdb8, 0], 32),
    v6([0x2620, 0x4f, 0x8000], 48),
    v6([0x3fff, 0, 0], 20),
];

const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => gateway_target(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    REFUSED_V4.iter().all(|net| !net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    PUBLIC_V6.contains(&address) && REFUSED_V6.iter().all(|net| !net.contains(&address))
}

/// The IPv4 address that a gateway would forward to: 6to4 (2002:/16) and NAT64 (64:ff9b:/96). NAT64's other
/// prefix, 64:ff9b:1:/48, may be laid out in any way and is outside the public block.
fn gateway_target(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c]: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 192.167.0.1 \
        192.169.0.1 198.17.0.1 198.20.0.1 223.255.255.255 169.253.0.1 2606:4700:4700::1111 \
        2a00:1450:4001::1 2001:200::1 64:ff9b::808:808 2002:808:808::1 ::ffff:8.8.8.8";

    const REFUSED: &str = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 \
        169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 \
        192.88.99.1 192.168.0.1 192.168.255.255 192.31.196.1 192.52.193.1 192.175.48.1 198.18.0.1 \
        198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: \
        ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 \
        64:ff9b::a00:1 64:ff9b:1::808:808 2002:7f00:1::1 2002:a00:1:: 2002:c0a8:1::1 2001::1 \
        2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1 \
        3fff:fff::1 2620:4f:8000::1 100::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 \
        ff0e::1 4000::1";

    fn permits(allowed: &[&str], address: &str) -> bool {
        let nets = allowed.iter().map(|n| n.parse().unwrap()).collect();
        AddressRule::new(nets).permits(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_dialled() {
        for address in PUBLIC.split_whitespace() {
            assert!(permits(&[], address), "{address}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for address in REFUSED.split_whitespace() {
            assert!(!permits(&[], address), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_is_exempt_in_either_spelling() {
        assert!(permits(&["127.0.0.0/8"], "127.0.0.1"));
        assert!(permits(&["127.0.0.0/8"], "::ffff:127.0.0.1"));
        assert!(permits(&["::1/128"], "::1"));
        assert!(!permits(&["127.0.0.0/8"], "10.0.0.1"));
        assert!(!permits(&["127.0.0.0/8"], "::1"));
        assert!(!permits(&["127.0.0.0/8"], "64:ff9b::7f00:1"));
    }
}
