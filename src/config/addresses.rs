//! `allow_addresses` and `deny_addresses` of `[delivery]`.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use crate::model::{AddressRule, Network, NoNetwork, Url};

/// The most networks of a list: each new connection is compared with all of them.
const MAX_NETWORKS: usize = 1_000;

/// Reads both lists; `None` where every address may be connected to.
pub(super) fn read(section: &Section<'_, '_>, found: &mut Findings) -> Option<Arc<AddressRule>> {
    let mut list = |key, why_full| networks(section, key, why_full, found);
    let allow = list(
        "allow_addresses",
        "nothing could be connected to, and nothing would be delivered",
    );
    let deny = list("deny_addresses", "it denies nothing");
    if allow.is_none() && deny.is_none() {
        return None;
    }
    let deny = deny.unwrap_or_default();
    Some(Arc::new(AddressRule { allow, deny }))
}

fn networks(
    section: &Section<'_, '_>,
    key: &'static str,
    why_full: &str,
    found: &mut Findings,
) -> Option<Box<[Network]>> {
    let fix = "name networks or addresses, or leave the key out";
    let texts = section.texts(key, usize::MAX, (why_full, fix), found)?;
    if texts.len() > MAX_NETWORKS {
        let message = format!("{key} has more than {MAX_NETWORKS} entries");
        found.error(section.value_at(key), message, "name larger networks");
        return None;
    }
    let networks = texts.into_iter().filter_map(|text| network(&text, found));
    Some(networks.collect())
}

fn network(text: &Given<&str>, found: &mut Findings) -> Option<Network> {
    let (message, fix) = match Network::parse(text.value) {
        Ok(network) => return Some(network),
        Err(NoNetwork::Syntax) => (
            "this is neither an address nor a network".to_owned(),
            "write 192.0.2.7, 10.0.0.0/8 or fd00::/8; names are not looked up here".to_owned(),
        ),
        Err(NoNetwork::Interface) => (
            "an address with its interface is of one machine".to_owned(),
            "leave out % and what is behind it".to_owned(),
        ),
        Err(NoNetwork::Long(bits)) => (
            format!("such an address has {bits} bits, and the prefix is longer"),
            format!("write a prefix of up to /{bits}"),
        ),
        Err(NoNetwork::Inside(network)) => (
            "the address has bits behind its prefix".to_owned(),
            format!("did you mean {network}?"),
        ),
        Err(NoNetwork::Mapped(network)) => (
            "this is IPv4 inside IPv6, and is judged as IPv4".to_owned(),
            format!("write {network}"),
        ),
    };
    found.error(text.at.clone(), message, fix);
    None
}

/// Warns of a URL that names an address which may not be connected to. Names are judged once they are looked up.
pub(super) fn judge(rule: &AddressRule, url: &Url, at: Range<usize>, found: &mut Findings) {
    let address = url.host().parse::<IpAddr>();
    if let Some(Err(forbidden)) = address.ok().map(|address| rule.judge(address)) {
        let host = url.host();
        found.warning(
            Some(at),
            format!("{host} is {forbidden} of [delivery]: every attempt will fail"),
            "change the lists, or the URL",
        );
    }
}
