//! What an address says behind its `?`, and how an address says it.

/// The value of a field in a query, decoded; U+FFFD for what is no text.
pub(super) fn field(query: &str, wanted: &str) -> Option<String> {
    let mut fields = query.split('&');
    fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        (name == wanted).then(|| decoded(value))
    })
}

/// The values of every field of that name, decoded.
pub(super) fn fields(query: &str, wanted: &str) -> Vec<String> {
    let all = query.split('&').filter_map(|field| field.split_once('='));
    let named = all.filter(|(name, _)| *name == wanted);
    named.map(|(_, value)| decoded(value)).collect()
}

/// The address that was asked for, without the token: where a browser is led once it is let in. It is `/` where the path
/// is none of the page's, so that no link leads a browser elsewhere by it.
pub(super) fn onwards(path: &str, query: &str) -> String {
    let is_own = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~:%*".contains(&byte);
    if path.starts_with("//") || !path.bytes().all(is_own) {
        return "/".to_owned();
    }
    let rest = query
        .split('&')
        .filter(|field| !field.starts_with("token="));
    let rest: Vec<&str> = rest.filter(|field| !field.is_empty()).collect();
    if rest.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", rest.join("&"))
}

/// What is meant by a part of an address; U+FFFD for what is no text.
pub(super) fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut ahead = rest.clone();
                let pair = ahead.next().zip(ahead.next());
                match pair.and_then(|(high, low)| Some(digit(high)? << 4 | digit(low)?)) {
                    Some(decoded) => {
                        rest = ahead;
                        decoded
                    }
                    None => b'%',
                }
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(hex: u8) -> Option<u8> {
    let digit = char::from(hex).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// A value as it stands in an address.
pub(super) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:*".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_as_it_was_encoded() {
        for text in ["", "webhook:erp status:5xx", "a+b&c=d%#\"<é\u{202e}\n"] {
            let query = format!("x=1&q={}&q=other", encoded(text));
            assert_eq!(field(&query, "q").as_deref(), Some(text));
        }
        assert_eq!(field("q=a+b%", "q").as_deref(), Some("a b%"));
        assert_eq!(field("q=%zz%4", "q").as_deref(), Some("%zz%4"));
        assert_eq!(field("q=%ff", "q").as_deref(), Some("\u{fffd}"));
        assert_eq!(field("query=a", "q"), None);
    }

    #[test]
    fn a_browser_is_led_on_to_what_it_asked_for_and_nowhere_else() {
        for (path, query, to) in [
            ("/", "token=s", "/"),
            ("/log", "q=a:b+c&token=s&before=7", "/log?q=a:b+c&before=7"),
            ("/webhooks/a%20b", "", "/webhooks/a%20b"),
            ("//evil.example/", "token=s", "/"),
            ("/\\evil.example", "token=s", "/"),
            ("/x;y", "", "/"),
        ] {
            assert_eq!(onwards(path, query), to, "{path}");
        }
    }
}
