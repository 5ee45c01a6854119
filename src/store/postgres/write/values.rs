//! Values of statements with their types: nothing is asked of the server about a statement that has them.

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

use crate::model::DeliveryId;
use crate::postgres::Value;

pub(super) fn int(value: &i64) -> Value<'_> {
    (value, Type::INT8)
}

pub(super) fn maybe_int(value: &Option<i64>) -> Value<'_> {
    (value, Type::INT8)
}

pub(super) fn word<'v>(value: &'v &str) -> Value<'v> {
    (value, Type::TEXT)
}

pub(super) fn maybe_word<'v>(value: &'v Option<&str>) -> Value<'v> {
    (value, Type::TEXT)
}

pub(super) fn bytes<V: AsRef<[u8]> + ToSql + Sync>(value: &V) -> Value<'_> {
    (value, Type::BYTEA)
}

pub(super) fn ints<V: AsRef<[i64]> + ToSql + Sync>(values: &V) -> Value<'_> {
    (values, Type::INT8_ARRAY)
}

pub(super) fn maybe_ints<V: AsRef<[Option<i64>]> + ToSql + Sync>(values: &V) -> Value<'_> {
    (values, Type::INT8_ARRAY)
}

pub(super) fn smalls<V: AsRef<[i32]> + ToSql + Sync>(values: &V) -> Value<'_> {
    (values, Type::INT4_ARRAY)
}

pub(super) fn truths<V: AsRef<[bool]> + ToSql + Sync>(values: &V) -> Value<'_> {
    (values, Type::BOOL_ARRAY)
}

pub(super) fn words<'v, V: AsRef<[&'v str]> + ToSql + Sync>(values: &'v V) -> Value<'v> {
    (values, Type::TEXT_ARRAY)
}

pub(super) fn maybe_words<'v, V: AsRef<[Option<&'v str>]> + ToSql + Sync>(
    values: &'v V,
) -> Value<'v> {
    (values, Type::TEXT_ARRAY)
}

/// Texts some of which were made for this.
pub(super) fn texts<'v, V: AsRef<[Cow<'v, str>]> + ToSql + Sync>(values: &'v V) -> Value<'v> {
    (values, Type::TEXT_ARRAY)
}

pub(super) fn maybe_texts<'v, V: AsRef<[Option<Cow<'v, str>>]> + ToSql + Sync>(
    values: &'v V,
) -> Value<'v> {
    (values, Type::TEXT_ARRAY)
}

/// The numbers of ids.
pub(super) fn numbers<'i>(ids: impl IntoIterator<Item = &'i DeliveryId>) -> Vec<i64> {
    ids.into_iter().map(|id| id.get()).collect()
}

/// A text without the character that a server takes in none.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Bytes that are text, as all bodies are.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => clean(text),
        Cow::Owned(text) => Cow::Owned(clean(&text).into_owned()),
    }
}

/// A count as a column of four bytes has it.
pub(super) fn short(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_through_but_for_what_no_server_takes() {
        assert_eq!(clean("a\u{e4}"), "a\u{e4}");
        assert_eq!(clean("a\0b\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(b"a\xff\0"), "a\u{fffd}\u{fffd}");
    }
}
