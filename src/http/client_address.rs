//! Whose request this is: the peer's address, or the one that a trusted proxy vouches for.

use actix_web::HttpRequest;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// The client's address. `X-Forwarded-For` counts only when the peer is a trusted proxy, and then only its
/// right-most entry that is not one itself: everything left of that was written by the client.
pub fn client_address(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    let headers = request.headers().get_all("x-forwarded-for");
    let forwarded: Vec<&str> = headers.filter_map(|v| v.to_str().ok()).collect();
    vouched_for(peer, &forwarded.join(","), trusted)
}

fn vouched_for(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let mut client = peer;
    for entry in forwarded.rsplit(',') {
        if !is_trusted(&client) {
            break;
        }
        match entry.trim().parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_for_the_hop_before_it() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let table = [
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ];
        for (peer, forwarded, expected) in table {
            let client = vouched_for(peer.parse().unwrap(), forwarded, &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
        }
    }
}
