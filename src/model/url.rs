//! Where a webhook's requests go: an http or https URL in the parts that a request needs.
//!
//! Names outside ASCII are not translated and nothing is percent-encoded: what the user typed is
//! what goes on the wire, so a URL that would need either is refused with the reason. One part stays
//! here: the interface of a link-local address means nothing to the other side (RFC 6874, 4).

use std::fmt;
use std::net::Ipv6Addr;

use super::host;

/// A checked `http` or `https` URL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: Box<str>,
    tls: bool,
    host: Box<str>,
    zone: Option<Box<str>>,
    port: u16,
    authority: Box<str>,
    target: Box<str>,
}

impl Url {
    /// Checks and takes apart a URL.
    ///
    /// # Errors
    /// Why it can't be used, in words for the configuration's diagnostics. The text of the URL is
    /// not in them, for it may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(
                "a URL is ASCII without spaces: write names in punycode and the rest percent-encoded",
            );
        }
        let uri: http::Uri = text.parse().or(Err("this is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the scheme must be http or https"),
        };
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("user:pass@ in a URL would reach the log: send it as a header instead");
        }
        if text.contains('#') {
            return Err("a fragment (#...) is never sent: leave it out");
        }
        let named = authority.host();
        let host = named.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("the URL names no host");
        }
        check_host(named, host)?;
        let (host, zone) = zoned(host)?;
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, digits)) if !digits.ends_with(']') => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err("the port must be 1 to 65535"),
            },
            _ => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let target = match uri.path_and_query() {
            Some(target) if target.as_str().starts_with('/') => target.as_str().to_owned(),
            Some(target) => format!("/{}", target.as_str()),
            None => "/".to_owned(),
        };
        let authority = match (zone, authority.as_str().rsplit_once(']')) {
            (Some(_), Some((_, port))) => format!("[{host}]{port}").into(),
            _ => authority.as_str().into(),
        };
        Ok(Self {
            text: text.into(),
            tls,
            host: host.into(),
            zone: zone.map(Into::into),
            port,
            authority,
            target: target.into(),
        })
    }

    /// The URL as typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name or address, an IPv6 address without its brackets and its interface.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The interface on which a link-local address is, by name or number.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The port, the scheme's own where none was typed.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header: host and port as typed, without an interface.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The request target: path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Checks the host that was `named`, without its brackets where it has some. What follows a `%` in them
/// is a scope.
fn check_host(named: &str, host: &str) -> Result<(), &'static str> {
    if !named.starts_with('[') {
        return host::fault(host).map_or(Ok(()), Err);
    }
    let (address, _scope) = host.split_once('%').unwrap_or((host, ""));
    let parsed: Result<Ipv6Addr, _> = address.parse();
    parsed
        .map(|_| ())
        .or(Err("what is in brackets is no IPv6 address"))
}

/// A host without its interface, and that. It stands behind `%25`, or behind the bare `%` that people
/// copy from other programs.
fn zoned(host: &str) -> Result<(&str, Option<&str>), &'static str> {
    let Some((address, zone)) = host.split_once('%') else {
        return Ok((host, None));
    };
    let zone = zone.strip_prefix("25").unwrap_or(zone);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if zone.is_empty() || !zone.bytes().all(is_plain) {
        return Err("behind the % stands no interface: write it as in http://[fe80::1%25eth0]/");
    }
    match address.parse::<Ipv6Addr>() {
        Ok(address) if address.is_unicast_link_local() => {}
        _ => return Err("only a link-local address (fe80::) has an interface: leave out the %"),
    }
    Ok((address, Some(zone)))
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let url = Url::parse("http://h.example:8080/a/b?c=d").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.is_tls()),
            ("h.example", 8080, false)
        );
        assert_eq!(
            (url.authority(), url.target()),
            ("h.example:8080", "/a/b?c=d")
        );
        let url = Url::parse("https://[::1]?q").unwrap();
        assert_eq!((url.host(), url.port(), url.target()), ("::1", 443, "/?q"));
    }

    #[test]
    fn an_interface_is_ours_alone() {
        for typed in ["%25eth0", "%eth0"] {
            let text = format!("https://[fe80::1{typed}]:8443/a");
            let url = Url::parse(&text).unwrap();
            assert_eq!((url.host(), url.zone()), ("fe80::1", Some("eth0")));
            assert_eq!((url.port(), url.text()), (8443, text.as_str()));
            assert_eq!(url.authority(), "[fe80::1]:8443");
        }
        let url = Url::parse("http://[fe80::1%252]/").unwrap();
        assert_eq!((url.zone(), url.authority()), (Some("2"), "[fe80::1]"));
        assert_eq!(Url::parse("http://[fe80::1]/").unwrap().zone(), None);
    }

    #[test]
    fn refusals() {
        for bad in [
            "",
            "/path",
            "ftp://h/",
            "http://",
            "http://u:p@h/",
            "http://h:0/",
            "http://h:99999/",
            "http://h/#f",
            "http://h/a b",
            "http://b\u{fc}cher/",
            "http://h:/",
            "http://a..b/",
            "https://127.1/",
            "https://*.example.com/",
            "http://[::g]/",
            "http://[1.2.3.4]/",
            "http://[fe80::1%25]/",
            "http://[fe80::1%]/",
            "http://[fe80::1%25a%2fb]/",
            "http://[2001:db8::1%25eth0]/",
            "http://[::1%25lo]/",
            "http://h%25eth0/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
