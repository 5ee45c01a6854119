//! Whether an HTTP request comes from where it may: what a browser says of the page that made it.
//!
//! A browser sends whatever any page of the web asks it to, also to this machine and through a forwarded
//! port. Two things tell: `Host`, which is a foreign name where a foreign name was made to lead here (DNS
//! rebinding; such a page could read each answer), and for what acts `Origin` and `Sec-Fetch-Site`, which no
//! page can forge. `Host` is judged whole, for `127.attacker.example` begins like an address. Who sends none
//! of them is no browser, and has the rights of the socket or the port. Left out: those rights.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderValue, Method, Request, Version};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// So much of a header is repeated in the reason.
const SHOWN_CHARS: usize = 100;

/// The names by which a listener may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names<'a> {
    /// `localhost`, the loopback addresses and these, which are in lower case.
    Loopback(&'a [String]),
    /// Any: a port that other machines reach has names that nobody here knows.
    Any,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It is no proper request.
    Improper(String),
    /// It is another page's.
    Refused(String),
}

/// Holds that a request comes from a program, or from a page of this very listener. Of requests that only
/// read (GET, HEAD) `Host` alone is judged: their answers reach no other origin.
///
/// # Errors
/// Why it does not.
pub(crate) fn judge<B>(request: &Request<B>, names: Names<'_>) -> Result<(), Foreign> {
    let host = one(request, &HOST)?;
    if host.is_none() && request.version() >= Version::HTTP_11 {
        let words = "the request has no Host, which HTTP/1.1 wants";
        return Err(Foreign::Improper(words.to_owned()));
    }
    if let Names::Loopback(own) = names {
        let target = request.uri().authority().map(|a| a.as_str().as_bytes());
        for name in [target, host.map(HeaderValue::as_bytes)]
            .into_iter()
            .flatten()
        {
            if !is_of_here(name, own) {
                return Err(Foreign::Refused(format!(
                    "Host {} is not of this machine; ask for localhost or a loopback address, or name it in hosts of [page]",
                    shown(name)
                )));
            }
        }
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    if let Some(origin) = one(request, &ORIGIN)?
        && !is_of(origin.as_bytes(), host.map(HeaderValue::as_bytes))
    {
        return Err(Foreign::Refused(format!(
            "Origin {} is not this Host: another page asks for it",
            shown(origin.as_bytes())
        )));
    }
    if let Some(site) = one(request, &SEC_FETCH_SITE)?
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return Err(Foreign::Refused(format!(
            "Sec-Fetch-Site {} is neither same-origin nor none: another page asks for it",
            shown(site.as_bytes())
        )));
    }
    Ok(())
}

/// Holds that no other page asks for what costs more than a look: a stream, of which there are only so many, or what
/// reads through many rows. It could not read the answer.
///
/// # Errors
/// Why it does not hold.
pub(crate) fn judge_costly<B>(request: &Request<B>) -> Result<(), String> {
    match request.headers().get(SEC_FETCH_SITE) {
        Some(site) if !matches!(site.as_bytes(), b"same-origin" | b"none") => Err(format!(
            "Sec-Fetch-Site {} is neither same-origin nor none: another page asks for it",
            shown(site.as_bytes())
        )),
        _ => Ok(()),
    }
}

/// The one header of that name: of two, one could be judged and the other one meant.
fn one<'a, B>(
    request: &'a Request<B>,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Foreign> {
    let mut values = request.headers().get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        let words = format!("the header {name} stands more than once");
        return Err(Foreign::Improper(words));
    }
    Ok(first)
}

/// Whether `host[:port]` is `localhost`, a loopback address or one of these names and addresses.
fn is_of_here(host: &[u8], own: &[String]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let is_named = |address: IpAddr| {
        address.to_canonical().is_loopback() || own.iter().any(|own| own.parse() == Ok(address))
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').is_some_and(|(address, port)| {
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
                && address
                    .parse::<Ipv6Addr>()
                    .is_ok_and(|address| is_named(address.into()))
        });
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    let is_address = |address: Ipv4Addr| is_named(address.into());
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(is_address)
        || own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Whether an origin is that of a page which was asked for by this very `Host`, its port included.
fn is_of(origin: &[u8], host: Option<&[u8]>) -> bool {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let mut named = schemes.iter().filter_map(|s| origin.strip_prefix(*s));
    named.any(|named| host.is_some_and(|host| named.eq_ignore_ascii_case(host)))
}

fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), Foreign> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        judge(&request.body(()).unwrap(), Names::Loopback(&[]))
    }

    #[test]
    fn a_host_is_judged_whole() {
        for own in [
            "localhost",
            "LocalHost:8480",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:65535",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(asked("GET", "/", &[("Host", own)]), Ok(()), "{own}");
        }
        for foreign in [
            "",
            "attacker.example",
            "127.attacker.example",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example",
            "localhost.",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "localhost:80:80",
            "127.1",
            "0x7f000001",
            "0.0.0.0",
            "10.0.0.1",
            "[::2]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "::1",
            "user@localhost",
            "localhost, attacker.example",
        ] {
            let judged = asked("GET", "/", &[("Host", foreign)]);
            assert!(matches!(judged, Err(Foreign::Refused(_))), "{foreign}");
        }
    }

    #[test]
    fn a_target_counts_as_host_does() {
        let own = ("Host", "localhost");
        assert_eq!(asked("GET", "http://127.0.0.1:1/x", &[own]), Ok(()));
        for target in ["http://attacker.example/x", "http://u@localhost/x"] {
            let judged = asked("GET", target, &[own]);
            assert!(matches!(judged, Err(Foreign::Refused(_))), "{target}");
        }
    }

    #[test]
    fn names_of_ones_own_are_judged_whole_too() {
        let own = [
            "hooks.example".to_owned(),
            "10.0.0.7".to_owned(),
            "fe80::1".to_owned(),
        ];
        let judged = |host: &str| {
            let request = Request::builder().header("Host", host).body(()).unwrap();
            judge(&request, Names::Loopback(&own))
        };
        for known in [
            "hooks.example",
            "HOOKS.example:8480",
            "10.0.0.7:1",
            "[fe80::1]:80",
            "localhost",
        ] {
            assert_eq!(judged(known), Ok(()), "{known}");
        }
        for foreign in [
            "hooks.example.attacker.example",
            "xhooks.example",
            "10.0.0.70",
            "[fe80::2]",
            "hooks.example:x",
        ] {
            assert!(judged(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn hosts_are_one() {
        let improper = |judged| matches!(judged, Err(Foreign::Improper(_)));
        let own = ("Host", "localhost");
        assert!(improper(asked("GET", "/", &[own, own])));
        assert!(improper(asked("GET", "/", &[])));
        let origin = ("Origin", "http://localhost");
        assert!(improper(asked("POST", "/", &[own, origin, origin])));
        let mut old = Request::new(());
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(judge(&old, Names::Loopback(&[])), Ok(()));
    }

    #[test]
    fn what_acts_is_asked_for_by_its_own_page() {
        let own = ("Host", "localhost:8480");
        for said in [
            ("Origin", "http://localhost:8480"),
            ("Origin", "https://LOCALHOST:8480"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Site", "none"),
        ] {
            assert_eq!(asked("POST", "/", &[own, said]), Ok(()), "{said:?}");
        }
        for said in [
            ("Origin", "null"),
            ("Origin", ""),
            ("Origin", "http://localhost"),
            ("Origin", "http://localhost:8481"),
            ("Origin", "http://127.0.0.1:8480"),
            ("Origin", "ftp://localhost:8480"),
            ("Origin", "http://localhost:8480.attacker.example"),
            ("Sec-Fetch-Site", "same-site"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", ""),
        ] {
            let read = asked("GET", "/", &[own, said]);
            assert_eq!(read, Ok(()), "{said:?}");
            for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                let judged = asked(method, "/", &[own, said]);
                assert!(matches!(judged, Err(Foreign::Refused(_))), "{said:?}");
            }
        }
    }

    #[test]
    fn a_reason_is_short_and_hides_no_controls() {
        let long = "é".repeat(5_000) + "\t";
        assert_eq!(shown(long.as_bytes()).chars().count(), 103);
        assert_eq!(shown(b"a\x1b\"\xff"), "\"a\\u{1b}\\\"\u{fffd}\"");
    }
}
