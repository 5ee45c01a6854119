//! Points in time as a person reads them: `5 min ago`; how they are typed is `model::when`.
//!
//! Everything is UTC.

use super::Failure;
use crate::model::clock::utc;
pub(super) use crate::model::told::{asked_to_wait, from_now};
pub(super) use crate::model::when::{When, parse, parse_span_ms, parse_time_ms};

/// A window that people gave by its ends, of which either may be open.
///
/// # Errors
/// It ends before it begins: nothing could be in it, and nobody means that.
pub(super) fn window(
    since: Option<When>,
    until: Option<When>,
    now_ms: i64,
) -> Result<[Option<i64>; 2], Failure> {
    let [since, until] = [since, until].map(|when| when.map(|when| when.ms(now_ms)));
    if let (Some(from), Some(to)) = (since, until)
        && from >= to
    {
        let text = format!("--since {} is not before --until {}", utc(from), utc(to));
        let hint = "--since 2h --until 30m is from two hours ago to half an hour ago";
        return Err(Failure::text(text).hint(Some(hint)).code(2));
    }
    Ok([since, until])
}

/// How long an attempt or a part of it took: `0.4 ms`, `12 ms`, `3001 ms`.
pub(super) fn took(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_after_it_begins() {
        let (since, until) = (Some(When::Ago(2)), Some(When::At(9)));
        assert_eq!(window(since, until, 10).ok(), Some([Some(8), Some(9)]));
        assert_eq!(window(since, None, 10).ok(), Some([Some(8), None]));
        assert!(window(until, since, 10).is_err());
        assert!(window(until, until, 10).is_err(), "nothing is in no time");
    }
}
