//! The words of a search: `webhook:erp status:5xx since:2h`, the same for the page and for `logs --search`.
//!
//! A word is a key, a colon and a value, and all words must hold. What no index has is looked for from the
//! newest backwards, over a bounded number of rows; that bound is the asker's.

use crate::dialect::row_id_of;
use crate::model::{Pattern, when};
use crate::store::{LogFilter, Outcome, StatusIs};

/// The keys, each with an example.
pub(crate) const KEYS: [(&str, &str); 6] = [
    ("webhook", "webhook:search-index"),
    ("event", "event:story-*"),
    ("status", "status:500, status:5xx or status:none"),
    (
        "outcome",
        "outcome:delivered, outcome:retry or outcome:failed",
    ),
    ("since", "since:2h or since:2026-03-01"),
    ("id", "id:1024 or id:evt_..., the event's"),
];

/// The longest search: longer than the longest name of each kind together.
const MAX_BYTES: usize = 1_000;

/// What a search asks for; an empty one asks for everything.
///
/// # Errors
/// Which word is none, and what would be.
pub(crate) fn search(text: &str, now_ms: i64) -> Result<LogFilter, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("a search has {MAX_BYTES} bytes at the most"));
    }
    let mut filter = LogFilter::default();
    let mut seen: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once(':').ok_or_else(|| not_known(word))?;
        if seen.contains(&key) {
            return Err(format!("{key}: stands twice, and each word must hold"));
        }
        seen.push(key);
        if value.is_empty() {
            return Err(format!("{key}: has no value; {}", example(key)));
        }
        let wrong = || format!("{word:?} is no {key}; {}", example(key));
        match key {
            "webhook" => filter.webhook = Some(value.to_owned()),
            "event" => filter.event = Some(Pattern::new(value)),
            "status" => filter.status = Some(status(value).ok_or_else(wrong)?),
            "outcome" => filter.outcome = Some(outcome(value).ok_or_else(wrong)?),
            "since" => {
                let since = when::parse(value).map_err(|words| format!("since: {words}"))?;
                filter.since_ms = Some(since.ms(now_ms));
            }
            "id" => filter.event_id = Some(row_id_of(value).ok_or_else(wrong)?),
            _ => return Err(not_known(word)),
        }
    }
    Ok(filter)
}

fn not_known(word: &str) -> String {
    let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    let keys = keys.join(":, ");
    format!(
        "{word:?} is no word of a search; there are {keys}:, as in \"webhook:erp status:5xx since:2h\""
    )
}

fn example(key: &str) -> String {
    let known = KEYS.iter().find(|(known, _)| *known == key);
    known.map_or_else(|| not_known(key), |(_, example)| format!("try {example}"))
}

fn status(value: &str) -> Option<StatusIs> {
    if value == "none" {
        return Some(StatusIs::Absent);
    }
    if let Some(hundreds) = value.strip_suffix("xx") {
        let first = hundreds
            .parse::<u8>()
            .ok()
            .filter(|h| (1..=9).contains(h))?;
        let first = i64::from(first) * 100;
        return Some(StatusIs::Within(first, first + 99));
    }
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let one = value.parse::<u16>().ok().filter(|_| digits);
    let one = one.filter(|status| (100..=999).contains(status))?;
    Some(StatusIs::Within(one.into(), one.into()))
}

fn outcome(value: &str) -> Option<Outcome> {
    let all = [Outcome::Retry, Outcome::Delivered, Outcome::Failed];
    all.into_iter().find(|outcome| outcome.word() == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;

    #[test]
    fn each_word_narrows() {
        let text = " webhook:erp event:a:b-*  status:5xx outcome:retry since:2h id:7 ";
        let filter = search(text, 7_200_001).unwrap();
        let wanted = LogFilter {
            webhook: Some("erp".to_owned()),
            event: Some(Pattern::new("a:b-*")),
            status: Some(StatusIs::Within(500, 599)),
            outcome: Some(Outcome::Retry),
            since_ms: Some(1),
            event_id: Some(EventId::new(7)),
            ..LogFilter::default()
        };
        assert_eq!(filter, wanted);
        assert_eq!(search("", 0), Ok(LogFilter::default()));
        let none = search("status:none", 0).unwrap().status;
        assert_eq!(none, Some(StatusIs::Absent));
        let one = search("status:204", 0).unwrap().status;
        assert_eq!(one, Some(StatusIs::Within(204, 204)));
    }

    #[test]
    fn what_is_no_word_is_named_with_what_would_be() {
        for (text, word) in [
            ("erp", "webhook:, event:"),
            ("name:erp", "webhook:, event:"),
            ("webhook:", "webhook:search-index"),
            ("webhook:a webhook:b", "twice"),
            ("status:0xx", "status:5xx"),
            ("status:12", "status:5xx"),
            ("status:+500", "status:5xx"),
            ("outcome:ok", "outcome:delivered"),
            ("since:yesterday", "2h"),
            ("id:x", "id:1024"),
        ] {
            let error = search(text, 0).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(search(&"a".repeat(1_001), 0).is_err());
    }
}
