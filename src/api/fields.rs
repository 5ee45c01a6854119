//! The fields of a JSON object that other programs wrote, cut out of its text, and words for people.
//!
//! An object is an object: what is derived for a struct would take an array of the values in the order
//! of the struct's fields too, and its messages name the types of our code. Here a field is found by
//! its name alone, each is read by itself, and every message says which it was and what it must be. A
//! field that is none of those known is an error, for a misspelt one would else be passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The texts of an object's fields, in the order of the names that are known.
pub(super) struct Fields<'a, const N: usize> {
    known: [&'static str; N],
    found: [Option<&'a RawValue>; N],
}

/// A text that need not be copied unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a, const N: usize> Fields<'a, N> {
    /// Takes an object apart. `what` is what it should be, for the words.
    ///
    /// # Errors
    /// Why the text is no such object, with the field or the position in it.
    pub(super) fn of(text: &'a str, what: &str, known: [&'static str; N]) -> Result<Self, String> {
        match kind(text) {
            Some("an object") | None => {}
            Some(other) => return Err(format!("{what} is a JSON object, not {other}")),
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = Reading { known }.deserialize(&mut reader);
        fields
            .and_then(|fields| reader.end().map(|()| fields))
            .map_err(|error| error.to_string())
    }

    /// The text of a field's value, whatever it is.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let index = self.known.iter().position(|known| *known == name);
        debug_assert!(index.is_some(), "{name} is in no list");
        self.found[index?]
    }

    /// The text of a field's value, which must be there.
    pub(super) fn needed(&self, name: &str) -> Result<&'a RawValue, String> {
        self.raw(name)
            .ok_or_else(|| format!("missing field `{name}`"))
    }

    /// The same; `null` is as good as none.
    fn given(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|raw| raw.get() != "null")
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.given(name).map(|raw| text(name, raw)).transpose()
    }

    /// A whole number.
    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, String> {
        self.given(name).map(|raw| whole(name, raw)).transpose()
    }

    /// Whole numbers.
    pub(super) fn wholes(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        let of = |raw| read(name, "an array of whole numbers", raw);
        self.given(name).map(of).transpose()
    }

    /// Whether a field that may be left out is true.
    pub(super) fn is_true(&self, name: &str) -> Result<bool, String> {
        let of = |raw| read(name, "true or false", raw);
        self.given(name).map_or(Ok(false), of)
    }
}

/// A field's text.
pub(super) fn text(name: &str, raw: &RawValue) -> Result<String, String> {
    let text: Text<'_> = read(name, "a text", raw)?;
    Ok(text.0.into_owned())
}

fn whole(name: &str, raw: &RawValue) -> Result<i64, String> {
    read(name, "a whole number of 64 bits", raw)
}

fn read<'a, T: Deserialize<'a>>(name: &str, wanted: &str, raw: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| {
        if error.is_data() {
            let other = kind(raw.get()).unwrap_or("that");
            return format!("{name}: must be {wanted}, and is {other}");
        }
        // The position is one in the field alone, which says nothing.
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        format!("{name}: {words}")
    })
}

/// What a JSON text is by its first character; `None` where it is none.
fn kind(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    Some(match text.as_bytes().first()? {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a text",
        b'-' | b'0'..=b'9' if text.contains(['.', 'e', 'E']) => {
            "a number with a point or an exponent"
        }
        b'-' | b'0'..=b'9' => "a number",
        b't' if text.starts_with("true") => "true",
        b'f' if text.starts_with("false") => "false",
        b'n' if text.starts_with("null") => "null",
        _ if text.starts_with('\u{feff}') => "a text behind a byte-order mark, which has to go",
        _ => return None,
    })
}

struct Reading<const N: usize> {
    known: [&'static str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Reading<N> {
    type Value = Fields<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Reading<N> {
    type Value = Fields<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(Text(name)) = map.next_key()? {
            let Some(index) = self.known.iter().position(|known| *known == name) else {
                let known = self.known.join(", ");
                let words = format!("unknown field `{name}`, there are {known}");
                return Err(A::Error::custom(words));
            };
            let value = map.next_value()?;
            if found[index].replace(value).is_some() {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
        }
        let known = self.known;
        Ok(Fields { known, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["text", "whole", "wholes", "flag"];

    /// All that can be said of a text.
    fn fault(text: &str) -> Option<String> {
        let read = |fields: Fields<'_, 4>| {
            fields.text("text")?;
            fields.whole("whole")?;
            fields.wholes("wholes")?;
            fields.is_true("flag").map(drop)
        };
        Fields::of(text, "an order", KNOWN).and_then(read).err()
    }

    #[test]
    fn every_fault_is_worded_without_a_type_of_ours() {
        let values = [
            "null",
            "true",
            "7",
            "1.5",
            "1e3",
            "99999999999999999999",
            "\"x\"",
            "[]",
            "[[]]",
            "[1.5]",
            "{}",
        ];
        let mut faults = Vec::new();
        for value in values {
            faults.extend(fault(value));
            for name in KNOWN {
                faults.extend(fault(&format!("{{\"{name}\":{value}}}")));
            }
        }
        assert!(faults.len() > 30, "{faults:?}");
        for fault in faults {
            for word in [
                "i64",
                "u64",
                "f64",
                "struct",
                "sequence",
                "Fields",
                "Text",
                "Vec",
                "invalid type",
                "boolean `",
            ] {
                assert!(!fault.contains(word), "{fault}");
            }
        }
        assert_eq!(
            fault("[\"a\",1,[],true]").unwrap(),
            "an order is a JSON object, not an array"
        );
        assert_eq!(
            fault("{\"whole\":1.0}").unwrap(),
            "whole: must be a whole number of 64 bits, and is a number with a point or an exponent"
        );
        assert!(fault("\u{feff}{}").unwrap().contains("byte-order mark"));
    }

    #[test]
    fn a_field_that_is_null_is_none_and_one_that_stands_twice_an_error() {
        assert_eq!(fault("{\"text\":null,\"flag\":null,\"whole\":null}"), None);
        assert_eq!(
            fault("{\"t\\u0065xt\":\"a\"}"),
            None,
            "a name with an escape"
        );
        let twice = fault("{\"text\":1,\"text\":2}").unwrap();
        assert!(twice.starts_with("duplicate field `text`"), "{twice}");
    }
}
