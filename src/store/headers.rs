//! Header blocks as what they have in common and what they have not, so that the former is stored once.
//!
//! Of a request the length and the signature differ, of an answer its `date`: a place holder stands for
//! each in the text that is shared, and the view `log` puts the value in. A block that holds such words
//! by itself, or whose value would not come back to the byte, is left as it is.

/// Of a request's headers: writes what it shares into `shared`, and returns the signature. `None`: it is
/// to be stored as it is. The length is that of the payload.
pub(super) fn share_request(block: &str, shared: &mut String) -> Option<Option<[u8; 32]>> {
    shared.clear();
    if block.contains('{') {
        return None;
    }
    let mut rest = block;
    if let Some(at) = value_of(block, "Content-Length: ") {
        let value = line(&block[at..]);
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            shared.push_str(&block[..at]);
            shared.push_str("{length}");
            rest = &block[at + value.len()..];
        }
    }
    let Some((at, signature)) = hex(rest) else {
        shared.push_str(rest);
        return Some(None);
    };
    shared.push_str(&rest[..at]);
    shared.push_str("{signature}");
    shared.push_str(&rest[at + 64..]);
    Some(Some(signature))
}

/// Of an answer's headers: writes what it shares into `shared`, and returns its date as seconds behind
/// the attempt's begin. `None`: it has no such date, and is shared as it is.
pub(super) fn share_answer(block: &str, started_at_ms: i64, shared: &mut String) -> Option<i64> {
    shared.clear();
    let at = value_of(block, "date: ")?;
    let value = line(&block[at..]);
    let date = seconds(value)?;
    if block.contains("{date}") {
        return None;
    }
    shared.push_str(&block[..at]);
    shared.push_str("{date}");
    shared.push_str(&block[at + value.len()..]);
    Some(date - started_at_ms / 1000)
}

/// Where the value of a header begins, by its name with what follows that.
fn value_of(block: &str, name: &str) -> Option<usize> {
    let mut at = 0;
    for line in block.split('\n') {
        if line.starts_with(name) {
            return Some(at + name.len());
        }
        at += line.len() + 1;
    }
    None
}

fn line(rest: &str) -> &str {
    rest.split('\n').next().unwrap_or(rest)
}

/// The first run of 64 lower-case hexadecimal digits, no more and no less: where it is, and its bytes.
fn hex(text: &str) -> Option<(usize, [u8; 32])> {
    let digit = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    let bytes = text.as_bytes();
    let mut run = 0;
    for at in 0..=bytes.len() {
        if bytes.get(at).is_some_and(digit) {
            run += 1;
            continue;
        }
        if run == 64 {
            let start = at - 64;
            let mut value = [0; 32];
            for (byte, pair) in value.iter_mut().zip(bytes[start..at].chunks_exact(2)) {
                *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
            }
            return Some((start, value));
        }
        run = 0;
    }
    None
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

/// The UNIX second of `Sat, 28 Nov 2026 17:11:20 GMT`, written in exactly that way
/// (RFC 9110, section 5.6.7, IMF-fixdate) in the years 1970 to 9999.
fn seconds(text: &str) -> Option<i64> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if text.len() != 29 || !text.is_ascii() || &text[25..] != " GMT" {
        return None;
    }
    let marks = [
        (3, ","),
        (4, " "),
        (7, " "),
        (11, " "),
        (16, " "),
        (19, ":"),
        (22, ":"),
    ];
    if marks.iter().any(|(at, mark)| &text[*at..=*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &text[from..to];
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    let month = (0..12).find(|n| MONTHS[3 * n..3 * n + 3] == text[8..11])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 => 28 + i64::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if year < 1970 || day < 1 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let weekday = usize::try_from(days.rem_euclid(7)).ok()?;
    (DAYS[weekday] == &text[..3]).then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970 to the first of a month, which is counted from 0.
fn days_before(year: i64, month: usize) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let full = year - 1;
    let leaps = full / 4 - full / 100 + full / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    365 * (year - 1970) + leaps + BEFORE[month] + i64::from(leap && month > 1)
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
        for odd in [format!("{hex}0"), hex.to_uppercase(), hex[1..].to_owned()] {
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
            assert_eq!(seconds(&text), Some(second), "{text}");
            second += 86_400 * 13 + 45_296;
        }
    }
}
