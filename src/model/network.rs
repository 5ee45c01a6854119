//! Networks: to which addresses a connection may be made.
//!
//! An address is judged as what it leads to: an IPv4 address that is written into an IPv6 one (RFC 4291, 2.5.5; 6to4,
//! RFC 3056; Teredo, RFC 4380; NAT64, RFC 6052 and 8215) counts as that IPv4 address too, and an unspecified one as
//! loopback, where Linux connects to. Left out: names, which are looked up first (`transport/connect.rs`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network in CIDR notation (RFC 4632, RFC 4291); one address alone is the network of all its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNetwork {
    /// It is nothing of the kind.
    Syntax,
    /// It has an interface, which belongs to one machine.
    Interface,
    /// The prefix is longer than an address of so many bits.
    Long(u8),
    /// The address is not the first of a network; this one has it.
    Inside(Network),
    /// It is IPv4 inside IPv6: this network, which the address is judged as.
    Mapped(Network),
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.
    ///
    /// # Errors
    /// [`NoNetwork`].
    pub fn parse(text: &str) -> Result<Self, NoNetwork> {
        if text.contains('%') {
            return Err(NoNetwork::Interface);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(NoNetwork::Syntax);
        };
        let most = width(address);
        let bits = match bits {
            None => most,
            Some(bits) if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(NoNetwork::Syntax);
            }
            Some(bits) => match bits.parse() {
                Ok(bits) if bits <= most => bits,
                _ => return Err(NoNetwork::Long(most)),
            },
        };
        let network = Self {
            first: masked(address, bits),
            bits,
        };
        if network.first != address {
            return Err(NoNetwork::Inside(network));
        }
        match (address, bits.checked_sub(96)) {
            (IpAddr::V6(address), Some(bits)) if address.to_ipv4_mapped().is_some() => {
                let first = address.to_ipv4_mapped().map_or(address.into(), IpAddr::V4);
                Err(NoNetwork::Mapped(Self { first, bits }))
            }
            _ => Ok(network),
        }
    }

    /// Whether the address is in it, as it stands.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.first) {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}/{}", self.first, self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with nothing behind its first bits.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// What else an address leads to: none, one, or two of them.
fn leads_to(address: IpAddr) -> [Option<IpAddr>; 2] {
    let address = match address {
        IpAddr::V4(address) if address.is_unspecified() => {
            return [Some(Ipv4Addr::LOCALHOST.into()), None];
        }
        IpAddr::V4(_) => return [None; 2],
        IpAddr::V6(address) if address.is_unspecified() => {
            return [
                Some(Ipv6Addr::LOCALHOST.into()),
                Some(Ipv4Addr::LOCALHOST.into()),
            ];
        }
        IpAddr::V6(address) => address,
    };
    let bits = address.to_bits();
    // So many bits from the left on there is an IPv4 address.
    let v4_at = |at: u32| {
        let within = (bits >> (96 - at)) & u128::from(u32::MAX);
        u32::try_from(within).ok().map(Ipv4Addr::from_bits)
    };
    let [first, second] = match address.segments() {
        [0, 0, 0, 0, 0, 0, ..] if !address.is_loopback() => [v4_at(96), None],
        // RFC 4291, 2.5.5.2, and as a translator writes it (RFC 6145, 2.2).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [v4_at(96), None],
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => [v4_at(96), None],
        [0x2002, ..] => [v4_at(16), None],
        // The server, and the client with its bits turned round.
        [0x2001, 0, ..] => [
            v4_at(32),
            v4_at(96).map(|client| Ipv4Addr::from_bits(!client.to_bits())),
        ],
        _ => [None; 2],
    };
    [first.map(IpAddr::V4), second.map(IpAddr::V4)]
}

/// Which addresses may be connected to. What is denied is so though it is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule {
    /// `None`: all of them.
    pub allow: Option<Box<[Network]>>,
    /// None of these.
    pub deny: Box<[Network]>,
}

/// Why an address may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It is in this network.
    Denied(Network),
    /// It is in none of those that are allowed.
    NotAllowed,
}

impl AddressRule {
    /// Judges one address.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn judge(&self, address: IpAddr) -> Result<(), Forbidden> {
        if let Some(network) = self.denying(address) {
            return Err(Forbidden::Denied(network));
        }
        match &self.allow {
            Some(allow) if !is_in(allow, address) => Err(Forbidden::NotAllowed),
            _ => Ok(()),
        }
    }

    /// The network that denies an address, or what it leads to. What that leads to counts too: an unspecified address
    /// inside another is loopback.
    fn denying(&self, address: IpAddr) -> Option<Network> {
        let mut deny = self.deny.iter();
        let own = deny.find(|network| network.contains(address)).copied();
        let mut inside = leads_to(address).into_iter().flatten();
        own.or_else(|| inside.find_map(|address| self.denying(address)))
    }
}

/// Whether an address is in one of these networks by itself, or by all that it leads to.
fn is_in(networks: &[Network], address: IpAddr) -> bool {
    let inside = leads_to(address);
    networks.iter().any(|network| network.contains(address))
        || inside[0].is_some() && inside.into_iter().flatten().all(|a| is_in(networks, a))
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(network) => write!(f, "denied by deny_addresses ({network})"),
            Self::NotAllowed => f.write_str("in none of allow_addresses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"))
    }

    fn rule(allow: &[&str], deny: &[&str]) -> AddressRule {
        let all = |texts: &[&str]| texts.iter().map(|text| network(text)).collect();
        AddressRule {
            allow: (!allow.is_empty()).then(|| all(allow)),
            deny: all(deny),
        }
    }

    fn is_allowed(rule: &AddressRule, address: &str) -> bool {
        rule.judge(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn networks_are_read_and_what_is_none_says_why() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "fd00::/8",
            "192.0.2.7",
            "::1",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("192.0.2.7/32"), network("192.0.2.7"));
        for text in [
            "",
            "localhost",
            "10.0.0/8",
            "010.0.0.1",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "1.2.3.4/8/8",
            "[::1]",
            "1.2.3.4:80",
        ] {
            assert_eq!(Network::parse(text), Err(NoNetwork::Syntax), "{text}");
        }
        assert_eq!(Network::parse("fe80::1%eth0"), Err(NoNetwork::Interface));
        assert_eq!(Network::parse("10.0.0.0/33"), Err(NoNetwork::Long(32)));
        assert_eq!(Network::parse("::/999"), Err(NoNetwork::Long(128)));
        let inside = NoNetwork::Inside(network("10.0.0.0/8"));
        assert_eq!(Network::parse("10.1.2.3/8"), Err(inside));
        let mapped = NoNetwork::Mapped(network("10.0.0.0/8"));
        assert_eq!(Network::parse("::ffff:10.0.0.0/104"), Err(mapped));
    }

    #[test]
    fn what_is_denied_is_so_though_it_is_allowed_and_in_every_dress() {
        let private = rule(&[], &["10.0.0.0/8", "127.0.0.0/8", "::1"]);
        for address in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "::10.1.2.3",
            "2002:a01:203::1",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::10.1.2.3",
            "2001:0:c000:207:0:0:f5fe:fdfc",
            "2001:0:a01:203::",
            "::ffff:0:10.1.2.3",
            "127.8.9.1",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:0.0.0.0",
            "64:ff9b::",
            "2002::1",
            "2001:0:c000:207:0:0:ffff:ffff",
        ] {
            assert!(!is_allowed(&private, address), "{address}");
        }
        for address in [
            "192.0.2.7",
            "11.0.0.1",
            "2001:db8::a01:203",
            "2002:c000:207::a01:203",
        ] {
            assert!(is_allowed(&private, address), "{address}");
        }
        let both = rule(&["10.0.0.0/8"], &["10.9.0.0/16"]);
        assert!(is_allowed(&both, "10.8.0.1") && !is_allowed(&both, "10.9.0.1"));
        let denied = both.judge("10.9.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(denied.to_string(), "denied by deny_addresses (10.9.0.0/16)");
    }

    #[test]
    fn what_is_allowed_is_so_by_itself_or_by_all_that_it_leads_to() {
        let office = rule(&["192.0.2.0/24", "2001:db8::/32"], &[]);
        for address in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "64:ff9b::192.0.2.7",
            "2001:db8::1",
        ] {
            assert!(is_allowed(&office, address), "{address}");
        }
        for address in [
            "192.0.3.1",
            "::ffff:192.0.3.1",
            "2001:0:c000:207::",
            "::1",
            "fd00::1",
        ] {
            assert!(!is_allowed(&office, address), "{address}");
        }
        assert!(is_allowed(&rule(&["2002::/16"], &[]), "2002:a01:203::1"));
        let itself = rule(&["127.0.0.0/8"], &[]);
        assert!(is_allowed(&itself, "0.0.0.0") && is_allowed(&itself, "::ffff:0.0.0.0"));
        // It leads to ::1 too.
        assert!(!is_allowed(&itself, "::"));
    }

    proptest! {
        #[test]
        fn a_network_has_what_shares_its_first_bits(first: u32, other: u32, bits in 0_u8..=32) {
            let first = masked(Ipv4Addr::from_bits(first).into(), bits);
            let network = network(&format!("{first}/{bits}"));
            let IpAddr::V4(start) = first else { unreachable!() };
            let differs = (start.to_bits() ^ other).leading_zeros() < u32::from(bits);
            prop_assert_eq!(network.contains(Ipv4Addr::from_bits(other).into()), !differs);
            prop_assert!(!network.contains(Ipv4Addr::from_bits(other).to_ipv6_mapped().into()));
        }

        #[test]
        fn no_dress_makes_a_denied_address_another(address: u32) {
            let address = Ipv4Addr::from_bits(address);
            let denies = AddressRule { allow: None, deny: [network(&address.to_string())].into() };
            let [a, b, c, d] = address.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for dressed in [
                address.to_ipv6_mapped(),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2001, 0, 1, 1, 0, 0, !high, !low),
            ] {
                prop_assert!(denies.judge(dressed.into()).is_err(), "{}", dressed);
            }
        }
    }
}
