//! Which addresses hosts anywhere can reach: the one rule for what a service node may register and what an exit connects to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that are not reachable from everywhere (IANA IPv4 special-purpose registry, RFC 6890), with the length of
/// their prefix, beside those the standard library names.
const SPECIAL_V4: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What is global unicast.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks within it that are not reachable from everywhere, or stand for IPv4 addresses (IANA IPv6 special-purpose registry):
/// protocol assignments (Teredo among them), documentation (twice), 6to4.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether hosts anywhere can reach this address. An IPv4 address written as an IPv6 one is judged as what it is.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether hosts anywhere can reach this address.
pub fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = |(network, prefix): &(Ipv4Addr, u32)| (ip.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0;
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || SPECIAL_V4.iter().any(special))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let within = |(network, prefix): &(Ipv6Addr, u32)| (ip.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0;
    within(&GLOBAL_V6) && !SPECIAL_V6.iter().any(within)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    fn is_public(text: &&str) -> bool {
        super::is_public(text.parse::<IpAddr>().expect("an address"))
    }

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
        assert!(!special.iter().any(is_public));
        assert!(public.iter().all(is_public));
    }

    #[test]
    fn so_do_those_of_ipv6() {
        let special = [
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let public = ["::ffff:9.9.9.9", "2000::1", "2001:200::1", "2001:db9::1", "2003::1", "2620:fe::fe", "3ffe::1"];
        assert_eq!(special.iter().find(|text| is_public(text)), None);
        assert!(public.iter().all(is_public));
    }
}
