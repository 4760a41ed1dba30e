//! Which addresses others can reach.

use core::net::Ipv4Addr;

/// Networks that are not reachable from everywhere (IANA IPv4 special-purpose registry, RFC 6890), with the length of
/// their prefix, beside those the standard library names.
const SPECIAL: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Whether hosts anywhere can reach this address.
pub(crate) fn is_public(ip: Ipv4Addr) -> bool {
    let special = |(network, prefix): &(Ipv4Addr, u32)| (ip.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0;
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || SPECIAL.iter().any(special))
}

#[cfg(test)]
mod tests {
    #[test]
    fn special_networks_end_where_the_registry_says() {
        let special = [
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.3.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.0.0.9",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let public = [
            "1.0.0.0",
            "9.9.9.9",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "192.0.1.0",
            "198.20.0.0",
            "223.255.255.255",
        ];
        let is_public = |text: &&str| super::is_public(text.parse().expect("an address"));
        assert!(!special.iter().any(is_public));
        assert!(public.iter().all(is_public));
    }
}
