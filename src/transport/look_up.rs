//! Asks the system for a name's addresses: `getaddrinfo`, with the interfaces of link-local ones.
//!
//! Whether there is no such name or the look-up failed decides what follows, and the standard library
//! tells the two apart by their words alone; so `dns_lookup` calls, which has the number.

use std::io;
use std::net::SocketAddr;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

/// Addresses that are kept of a name: more than anybody connects to in three seconds.
const ADDRESSES: usize = 16;

/// Why there are no addresses.
pub(super) struct LookUpError {
    pub(super) error: io::Error,
    /// Whether that is the answer: the name is not there, or has no address.
    pub(super) no_such_name: bool,
}

impl From<io::Error> for LookUpError {
    /// A look-up that failed.
    fn from(error: io::Error) -> Self {
        Self {
            error,
            no_such_name: false,
        }
    }
}

/// What asks the system for a name, for addresses whose port says nothing. Scripted in tests.
pub(super) type LookUp = dyn Fn(&str) -> Result<Vec<SocketAddr>, LookUpError> + Send + Sync;

pub(super) fn ask_system(name: &str) -> Result<Vec<SocketAddr>, LookUpError> {
    let hints = AddrInfoHints {
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|error| LookUpError {
        no_such_name: matches!(
            error.kind(),
            LookupErrorKind::NoName | LookupErrorKind::NoData
        ),
        error: error.into(),
    })?;
    // Families that are neither are left out.
    Ok(found.flatten().map(|info| info.sockaddr).collect())
}

/// The resolver's own words, without the sentence that stands before them.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("failed to lookup address information: ") {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// Alternates the families, the first one's first (RFC 8305, 4), each address once.
pub(super) fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || turns.len() >= ADDRESSES {
            return turns;
        }
        for address in pair.into_iter().flatten() {
            if !turns.contains(&address) {
                turns.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Result<Vec<SocketAddr>, (bool, String)> {
        ask_system(name).map_err(|refusal| (refusal.no_such_name, reason(&refusal.error)))
    }

    #[test]
    fn addresses_keep_their_interface() {
        // The loopback interface is the first on every Linux machine.
        for name in ["fe80::77%lo", "fe80::77%1"] {
            assert_eq!(asked(name), Ok(vec!["[fe80::77%1]:0".parse().unwrap()]));
        }
        assert_eq!(asked("127.0.0.1"), Ok(vec!["127.0.0.1:0".parse().unwrap()]));
    }

    #[test]
    fn no_such_name_is_told_from_a_failure() {
        let (no_such_name, text) = asked("fe80::77%no-such-nic").unwrap_err();
        assert!(no_such_name && !text.contains("lookup"), "{text}");
        let (no_such_name, _) = asked("a\0b").unwrap_err();
        assert!(!no_such_name);
    }
}
