//! The words of a search: `webhook:erp status:5xx since:2h`, the same for the page and for `logs --search`.
//!
//! A word is a key, a colon and a value, and all words must hold. `data.order.id:42` asks for what the event's data has
//! under a path, written as in `where` with `data` for its `$`: a text or a number, `AB*` what begins so, `*` anything
//! at all, and in double quotes a text, blanks and all. It is judged by the body that the log keeps. What no index has is looked for from the
//! newest backwards, over a bounded number of rows; that bound is the asker's.

use crate::dialect::{DATA_AT, row_id_of};
use crate::filter;
use crate::model::{Condition, Number, Operand, Path, Pattern, Rule, Step, Word, when};
use crate::store::{LogFilter, Outcome, StatusIs};

/// The keys, each with an example.
pub(crate) const KEYS: [(&str, &str); 7] = [
    ("webhook", "webhook:search-index"),
    ("event", "event:story-*"),
    ("status", "status:500, status:5xx or status:none"),
    (
        "outcome",
        "outcome:delivered, outcome:retry or outcome:failed",
    ),
    ("since", "since:2h or since:2026-03-01"),
    ("id", "id:1024 or id:evt_..., the event's"),
    (
        "data.path",
        "data.order.id:42, data.lines[*].sku:AB* or data.name:\"two words\"",
    ),
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
    let mut rules = Vec::new();
    for word in words(text) {
        if let Some(rest) = of_data(word) {
            rules.push(rule(word, rest)?);
            continue;
        }
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
    filter.body = rules.into();
    Ok(filter)
}

/// What stands behind `data`, where the word asks for that.
fn of_data(word: &str) -> Option<&str> {
    let rest = word.strip_prefix("data")?;
    rest.starts_with(['.', '[', ':']).then_some(rest)
}

/// The words, parted by blanks; in a word that asks for data a blank inside of quotes parts nothing.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let may_quote = of_data(rest).is_some();
        let mut quote = None;
        let end = rest.find(|c: char| {
            match quote {
                Some(open) if c == open => quote = None,
                None if may_quote && matches!(c, '"' | '\'') => quote = Some(c),
                _ => {}
            }
            quote.is_none() && c.is_whitespace()
        });
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.trim_start();
        (!word.is_empty()).then_some(word)
    })
}

/// The rule for a word that asks for data; the path ends at the first colon that leaves a whole one.
fn rule(word: &str, rest: &str) -> Result<Rule, String> {
    let mut fault = None;
    for (at, _) in rest.match_indices(':') {
        let (steps, value) = rest.split_at(at);
        match filter::path(&format!("${steps}")) {
            Ok(path) => return Ok(either(&path, value.trim_start_matches(':'))),
            Err(wrong) => fault = fault.or(Some(wrong)),
        }
    }
    let why = fault.map_or_else(
        || "it has no value behind a colon".to_owned(),
        |fault| {
            // `data` is three characters longer than the `$` that stands for it.
            let (at, why) = (fault.at + 3, fault.why);
            format!("at character {at}: {}", why.replace('$', "data"))
        },
    );
    Err(format!(
        "{word:?} is no data.path, {why}; {}",
        example("data.path")
    ))
}

/// The path begins at the data, which bodies have in one place or another.
fn either(path: &Path, value: &str) -> Rule {
    let (word, operands) = asked(value);
    let condition = |names: &[&str]| {
        let before = names.iter().map(|name| Step::Name((*name).into()));
        Condition {
            path: Path {
                text: path.text.clone(),
                steps: before.chain(path.steps.iter().cloned()).collect(),
            },
            word,
            operands: operands.clone().into(),
        }
    };
    Rule::Any(DATA_AT.map(condition).into())
}

/// What is asked by a value.
fn asked(value: &str) -> (Word, Vec<Operand>) {
    let text = |text: &str| Operand::Text(text.into());
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    if let Some(quoted) = quoted {
        return (Word::Eq, vec![text(quoted)]);
    }
    match value.strip_suffix('*') {
        Some("") => return (Word::Exists, vec![Operand::Truth(true)]),
        Some(beginning) => return (Word::Prefix, vec![text(beginning)]),
        None => {}
    }
    let mut all = vec![text(value)];
    all.extend(Number::read(value).map(Operand::Number));
    all.extend(value.parse().ok().map(Operand::Truth));
    (Word::In, all)
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
            ("data.a", "no value behind a colon"),
            ("data..a:7", "at character 6: there is no .. here"),
            ("data.a b:7", "no value"),
        ] {
            let error = search(text, 0).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(search(&"a".repeat(1_001), 0).is_err());
    }

    /// Whether a body is found by these words.
    fn finds(words: &str, body: &str) -> bool {
        let rules = search(words, 0)
            .unwrap_or_else(|why| panic!("{words}: {why}"))
            .body;
        filter::first_failing(&rules, body).is_none()
    }

    #[test]
    fn data_is_found_in_every_envelope_and_nowhere_else() {
        let data =
            r#"{"order":{"id":42,"no":"42"},"a:b":"x y","lines":[{"sku":"AB1"},{"ok":true}]}"#;
        for body in [
            format!(r#"{{"v1":{{"event":{{"id":1}},"data":{data}}}}}"#),
            format!(r#"{{"id":"e","event":"n","data":{data}}}"#),
        ] {
            for (words, found) in [
                ("data.order.id:42", true),
                ("data.order.id:42.0", true),
                ("data.order.id:\"42\"", false),
                ("data.order.no:42", true),
                ("data.order.id:43", false),
                ("data['a:b']:\"x y\"", true),
                ("data[\"a:b\"]:x*", true),
                ("data['a:b']:x", false),
                ("data.lines[*].sku:AB*", true),
                ("data.lines[0].ok:*", false),
                ("data.lines[1].ok:true data.order.id:42", true),
                ("data.lines[1].ok:true data.order.id:1", false),
                ("data.id:1", false),
                ("data.event.id:1", false),
            ] {
                assert_eq!(finds(words, &body), found, "{words} in {body}");
            }
        }
    }
}
