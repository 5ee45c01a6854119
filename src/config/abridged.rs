//! A configuration's text without most of its webhooks, for who asks what one more would mean.
//!
//! What a webhook means depends on the sections, and on the other webhooks by their names alone: so behind a text that
//! has none but those of its own name it means the same, and ten thousand others are not read for it. Each line keeps
//! its number. Left out: texts in which a webhook is written in another way than below a line `[[webhook]]`, in one piece.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::read::MAX_CONFIG_BYTES;

/// Where the webhooks stand in a text.
#[derive(Debug, Default)]
pub(crate) struct Abridged {
    /// The text itself, without a byte-order mark.
    text: String,
    /// Their places, in the order of the text, each with its name.
    webhooks: Vec<(Range<usize>, String)>,
}

impl Abridged {
    /// Of a text that is right; `None` where nothing of it can be left out.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = DeTable::parse(text).ok()?;
        let root = root.get_ref();
        let DeValue::Array(tables) = root.get("webhook")?.get_ref() else {
            return None;
        };
        let mut webhooks: Vec<(Range<usize>, String)> = Vec::with_capacity(tables.len());
        for table in tables {
            let DeValue::Table(keys) = table.get_ref() else {
                return None;
            };
            let name = keys.get("name")?.get_ref().as_str()?.to_owned();
            let at = table.span().start..end_of(table);
            let is_below_a_line = text.get(at.clone())?.starts_with("[[");
            let is_behind = webhooks.last().is_none_or(|(last, _)| last.end <= at.start);
            if !is_below_a_line || !is_behind {
                return None;
            }
            webhooks.push((at, name));
        }
        // A section may stand between two webhooks, and within the pieces of one.
        let sections = root.iter().filter(|(key, _)| key.get_ref() != "webhook");
        for (key, value) in sections {
            let at = key.span().start..end_of(value).max(key.span().end);
            let next = webhooks.partition_point(|(webhook, _)| webhook.end <= at.start);
            if webhooks
                .get(next)
                .is_some_and(|(webhook, _)| webhook.start < at.end)
            {
                return None;
            }
        }
        Some(Self {
            text: text.to_owned(),
            webhooks,
        })
    }

    /// The text with the webhooks of that name alone; `None` where it, and so much more behind it, is too large.
    pub(super) fn with_those_of(&self, name: &str, more_bytes: usize) -> Option<String> {
        if self.text.len() + more_bytes > MAX_CONFIG_BYTES {
            return None;
        }
        let mut short = String::with_capacity(self.text.len() / 8);
        let mut from = 0;
        for (at, webhook) in &self.webhooks {
            short.push_str(self.text.get(from..at.start)?);
            let left_out = self.text.get(at.clone())?;
            if webhook == name {
                short.push_str(left_out);
            } else {
                short.extend(left_out.matches('\n'));
            }
            from = at.end;
        }
        short.push_str(self.text.get(from..)?);
        Some(short)
    }
}

/// Where a value ends, with all that is in it.
fn end_of(value: &Spanned<DeValue<'_>>) -> usize {
    let own = value.span().end;
    let inner = match value.get_ref() {
        DeValue::Table(table) => {
            let keys = table.iter();
            keys.map(|(key, value)| key.span().end.max(end_of(value)))
                .max()
        }
        DeValue::Array(items) => items.iter().map(end_of).max(),
        _ => None,
    };
    own.max(inner.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}# top\ntenant = 'acme'\n[[webhook]]\nname = 'a' # one\nurl = '''\nhttp://h/'''\nevents = [\n 'x',\n]\n\
                        [webhook.headers]\nX-A = '[[webhook]]'\n[log]\nkeep_days = 7\n\n[[ webhook ]]\nname = \"b\"\r\nurl = 'http://h/'\nevents = ['*']\n";

    #[test]
    fn other_webhooks_are_left_out_and_each_line_keeps_its_number() {
        let abridged = Abridged::of(TEXT).unwrap();
        let lines = |name: &str| {
            let short = abridged.with_those_of(name, 0).unwrap();
            assert_eq!(short.matches('\n').count(), TEXT.matches('\n').count());
            assert!(DeTable::parse(&short).is_ok(), "{short}");
            let kept: Vec<String> = short
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim().is_empty())
                .map(|(at, line)| format!("{} {line}", at + 1))
                .collect();
            kept
        };
        let sections = [
            "1 # top",
            "2 tenant = 'acme'",
            "12 [log]",
            "13 keep_days = 7",
        ];
        assert_eq!(lines("c"), sections);
        let b = [
            "15 [[ webhook ]]",
            "16 name = \"b\"",
            "17 url = 'http://h/'",
            "18 events = ['*']",
        ];
        assert_eq!(lines("b"), [&sections[..], &b[..]].concat());
        assert_eq!(lines("a")[2..4], ["3 [[webhook]]", "4 name = 'a' # one"]);
        assert!(abridged.with_those_of("a", MAX_CONFIG_BYTES).is_none());
    }

    #[test]
    fn what_is_written_in_another_way_is_not_abridged() {
        for text in [
            "",
            "webhook = [{ name = 'a' }]",
            "[[webhook]]\nname = 'a'\n[log]\n[webhook.headers]\nx = 'y'",
            "[[webhook]]\nurl = 'http://h/'",
            "[webhook]\nname = 'a'",
            "[[webhook]]\nname = ",
        ] {
            assert!(Abridged::of(text).is_none(), "{text}");
        }
    }
}
