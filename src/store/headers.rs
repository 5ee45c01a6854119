//! An answer's headers as what they have in common with others and what they have not, so that the former
//! is stored once.
//!
//! What differs is the `date`: a place holder stands for it in the text that is shared, and the view `log`
//! puts the value in. A block that holds that word by itself, or whose value would not come back to the
//! byte, is left as it is. A request's headers come told apart already (`model::sent`).

use crate::model::around_value;
use crate::model::clock::http_date_seconds;

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

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

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
