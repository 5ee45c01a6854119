//! A host as a URL names it: an address, or a name that can be looked up and that a certificate can carry.
//!
//! Stricter than a resolver, which would ask for anything, and than C's `inet_aton`, which takes `127.1`
//! and `0x7f000001` for addresses: what looks like an IPv4 address is one in full (as in the URL
//! Standard), for else nobody could say whether it is an address or a name, and TLS knows it as neither.
//! Names are ASCII (RFC 1035, RFC 5890), with the underscore, which container networks use. What is in
//! brackets is the caller's.

use std::net::Ipv4Addr;

/// The longest name, and the longest of its labels (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Why a host without brackets can't be used; `None` when it can.
pub(super) fn fault(host: &str) -> Option<&'static str> {
    if host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    if host.contains('*') {
        return Some("a host is one name: * in it stands for no host that could be asked");
    }
    let right = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !host.bytes().all(right) {
        return Some("a host's name is letters, digits, - and _, with points between");
    }
    if host.len() > MAX_NAME_BYTES {
        return Some("a host's name is at most 253 characters long");
    }
    // A point at the end says that the name is whole.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let last = labels.rsplit('.').next().unwrap_or(labels);
    if is_number(last) {
        return Some("a host that ends in a number is an IPv4 address, and this is none");
    }
    labels.split('.').find_map(label_fault)
}

fn label_fault(label: &str) -> Option<&'static str> {
    if label.is_empty() {
        return Some("a host's name has no two points in a row and none before it");
    }
    if label.len() > MAX_LABEL_BYTES {
        return Some("what is between two points of a host's name is at most 63 characters long");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Some("no part of a host's name begins or ends with -");
    }
    None
}

/// Whether C takes it for a part of an address: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let longest = format!("{}.example", "a".repeat(63));
        let whole = format!("{}abcdefghi.example", "a.".repeat(118));
        assert_eq!(whole.len(), MAX_NAME_BYTES);
        for host in [
            "h",
            "localhost",
            "a.example",
            "a.example.",
            "my_service",
            "xn--bcher-kva.example",
            "1.example",
            "127.0.0.1",
            "a-b.c--d",
            "0xyz",
            "1a",
            &longest,
            &whole,
        ] {
            assert_eq!(fault(host), None, "{host}");
        }
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("a{whole}");
        for (host, words) in [
            ("hooks..example.com", "two points"),
            (".example", "two points"),
            (".", "two points"),
            ("a..", "two points"),
            ("*.example.com", "one name"),
            ("10.0.0.256", "IPv4"),
            ("127.1", "IPv4"),
            ("1.2.3.4.5", "IPv4"),
            ("010.0.0.1", "IPv4"),
            ("2130706433", "IPv4"),
            ("0x7f000001", "IPv4"),
            ("10.0.0.0x1", "IPv4"),
            ("a.0x", "IPv4"),
            ("10.0.0.1.", "IPv4"),
            ("-a.example", "ends with -"),
            ("a-.example", "ends with -"),
            ("a.-", "ends with -"),
            ("a%41.example", "letters"),
            ("a!b", "letters"),
            ("a,b", "letters"),
            (&long_label, "at most 63"),
            (&long_name, "at most 253"),
        ] {
            let fault = fault(host).unwrap_or_default();
            assert!(fault.contains(words), "{host}: {fault}");
        }
    }
}
