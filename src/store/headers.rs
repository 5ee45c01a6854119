//! Header blocks as what they have in common and what they have not, so that the former is stored once.
//!
//! Of a request the length and the signature differ, of an answer its `date`: a place holder stands for
//! each in the text that is shared, and the view `log` puts the value in. A block that holds such words
//! by itself, or whose value would not come back to the byte, is left as it is.

use crate::model::clock::http_date_seconds;

/// Hexadecimal digits of a signature.
const DIGITS: usize = 64;

/// Of a request's headers: writes what it shares into `shared`, and returns the signature. `None`: it is
/// to be stored as it is. The length is that of the payload.
pub(super) fn share_request(block: &str, shared: &mut String) -> Option<Option<[u8; 32]>> {
    shared.clear();
    if block.contains('{') {
        return None;
    }
    let mut rest = block;
    if let Some((before, value, after)) = around_value(block, "Content-Length: ")
        && !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_digit())
    {
        shared.push_str(before);
        shared.push_str("{length}");
        rest = after;
    }
    let Some((before, signature, after)) = around_signature(rest) else {
        shared.push_str(rest);
        return Some(None);
    };
    shared.push_str(before);
    shared.push_str("{signature}");
    shared.push_str(after);
    Some(Some(signature))
}

/// Of an answer's headers: writes what it shares into `shared`, and returns its date as seconds behind
/// the attempt's begin. `None`: it has no such date, and is shared as it is.
pub(super) fn share_answer(block: &str, started_at_ms: i64, shared: &mut String) -> Option<i64> {
    shared.clear();
    let (before, value, after) = around_value(block, "date: ")?;
    let date = http_date_seconds(value).filter(|seconds| *seconds >= 0)?;
    if block.contains("{date}") {
        return None;
    }
    shared.push_str(before);
    shared.push_str("{date}");
    shared.push_str(after);
    Some(date - started_at_ms / 1000)
}

/// A header's value by its name with what follows that, between what stands before and behind it.
fn around_value<'a>(block: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut at = 0;
    for line in block.split('\n') {
        if let Some(value) = line.strip_prefix(name) {
            let (before, rest) = block.split_at_checked(at + name.len())?;
            let (value, after) = rest.split_at_checked(value.len())?;
            return Some((before, value, after));
        }
        at += line.len() + 1;
    }
    None
}

/// The first run of 64 lower-case hexadecimal digits, no more and no less: its bytes, between what
/// stands before and behind it.
fn around_signature(text: &str) -> Option<(&str, [u8; 32], &str)> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut at = 0;
    for run in text.as_bytes().split(|byte| !is_digit(byte)) {
        if run.len() == DIGITS {
            let (before, rest) = text.split_at_checked(at)?;
            let (digits, after) = rest.split_at_checked(DIGITS)?;
            let mut value = [0; 32];
            for (byte, pair) in value.iter_mut().zip(digits.as_bytes().as_chunks().0) {
                let [high, low] = pair;
                *byte = nibble(*high) << 4 | nibble(*low);
            }
            return Some((before, value, after));
        }
        at += run.len() + 1;
    }
    None
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_request_shares_all_but_its_length_and_its_signature() {
        let hex = "a3509d31da3c10bd9896bb583dad73d4ca33ef3063eae3b85a71e3452c53f934";
        let block = |length: &str, sig: &str| {
            format!("Host: h\nContent-Length: {length}\nX-Sig: sha256={sig}\nX-Team: [redacted]")
        };
        let mut shared = String::new();
        let sig = share_request(&block("86", hex), &mut shared)
            .unwrap()
            .unwrap();
        assert_eq!((sig[0], sig[31]), (0xa3, 0x34));
        assert_eq!(shared, block("{length}", "{signature}"));
        assert_eq!(share_request(&block("86", ""), &mut shared), Some(None));
        assert_eq!(shared, block("{length}", ""));
        for odd in [
            format!("{hex}0"),
            hex.to_uppercase(),
            hex.chars().skip(1).collect(),
        ] {
            assert_eq!(share_request(&block("8 6", &odd), &mut shared), Some(None));
            assert_eq!(shared, block("8 6", &odd));
        }
        assert_eq!(share_request("Host: {length}", &mut shared), None);
    }

    #[test]
    fn an_answer_shares_all_but_its_date() {
        let mut shared = String::new();
        let at = 1_795_885_880_999;
        let block = "server: x\ndate: Sat, 28 Nov 2026 17:11:21 GMT\nage: 1";
        assert_eq!(share_answer(block, at, &mut shared), Some(1));
        assert_eq!(shared, "server: x\ndate: {date}\nage: 1");
        for odd in [
            "date: Sun, 28 Nov 2026 17:11:21 GMT",
            "date: Sat, 28 Nov 2026 17:11:21 UTC",
            "date: Sat, 28 nov 2026 17:11:21 GMT",
            "date: Sat, 31 Nov 2026 17:11:21 GMT",
            "date: Sat, 28 Nov 2026 17:11:21 GMT ",
            "date: Sat, 28 Nov 2026 17:11:60 GMT",
            "x-date: Sat, 28 Nov 2026 17:11:21 GMT",
            "x: {date}\ndate: Sat, 28 Nov 2026 17:11:21 GMT",
        ] {
            assert_eq!(share_answer(odd, at, &mut shared), None, "{odd}");
        }
    }

    /// What SQLite says of a second is read as that second, over centuries.
    #[test]
    fn dates_come_back_as_sqlite_writes_them() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "SELECT substr('SunMonTueWedThuFriSat', 1 + 3 * strftime('%w', ?1, 'unixepoch'), 3)
                || strftime(', %d ', ?1, 'unixepoch')
                || substr('JanFebMarAprMayJunJulAugSepOctNovDec', 3 * strftime('%m', ?1, 'unixepoch') - 2, 3)
                || strftime(' %Y %H:%M:%S GMT', ?1, 'unixepoch')";
        let mut write = connection.prepare(sql).unwrap();
        let mut second = 0;
        while second < 253_402_300_800 {
            let text: String = write.query_row([second], |row| row.get(0)).unwrap();
            assert_eq!(http_date_seconds(&text), Some(second), "{text}");
            second += 86_400 * 13 + 45_296;
        }
    }
}
