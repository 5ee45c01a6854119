//! A proxy between a webhook and its endpoint, and how we say to it who we are.

use std::fmt;

use super::Url;
use super::secret::Secret;

/// An HTTP proxy. Its `Debug` is its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is: plain http, without a path.
    pub url: Url,
    /// The value of `Proxy-Authorization`; `None`: it is not told who asks.
    pub authorization: Option<Secret>,
}

impl Proxy {
    /// A proxy there, which is shown `user:password` where there is one.
    #[must_use]
    pub fn new(url: Url, user_and_password: Option<&[u8]>) -> Self {
        // RFC 7617, 2
        let basic = |pair| [b"Basic ", &*base64(pair)].concat();
        let authorization = user_and_password.map(|pair| Secret::new(basic(pair)));
        Self { url, authorization }
    }

    /// Host and port, as they are typed.
    #[must_use]
    pub fn place(&self) -> &str {
        self.url.authority()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.place())
    }
}

/// RFC 4648, 4
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).copied().unwrap_or(0);
        let [a, b, c] = [byte(0), byte(1), byte(2)];
        let sixes = [
            a >> 2,
            (a & 3) << 4 | b >> 4,
            (b & 15) << 2 | c >> 6,
            c & 63,
        ];
        for (at, six) in sixes.into_iter().enumerate() {
            let is_there = at <= three.len();
            text.push(if is_there {
                DIGITS[usize::from(six)]
            } else {
                b'='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_said_as_the_specification_has_it() {
        // RFC 4648, 10, and RFC 7617, 2
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{ff}\u{3ff}?", "w7/Pvz8="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text.as_bytes());
        }
        let url = Url::parse("http://proxy.example:3128").unwrap();
        let proxy = Proxy::new(url, Some(b"u:marker"));
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.example:3128)");
        let value = proxy.authorization.unwrap();
        assert_eq!(value.bytes(), b"Basic dTptYXJrZXI=");
    }
}
