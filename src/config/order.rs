//! `in_order` and `if_failed` of a webhook: one at a time, and what a failure does to those behind it.

use toml::de::DeValue;

use super::diagnostic::Findings;
use super::rules;
use super::section::Section;
use crate::model::{Order, Path, Step};

/// What the webhook says; `None` where it has no order, or a wrong one, which was noted. `batched`: several of its
/// events go in one POST.
pub(super) fn read(
    section: &Section<'_, '_>,
    batched: bool,
    found: &mut Findings,
) -> Option<Order> {
    let holds = holds(section, found);
    let by = by(section, batched, found)?;
    Some(Order { by, holds })
}

/// `None`: no order. `Some(None)`: all of the webhook's go one at a time.
fn by(section: &Section<'_, '_>, batched: bool, found: &mut Findings) -> Option<Option<Path>> {
    let (_, value) = section.entry("in_order")?;
    let text = match value.get_ref() {
        DeValue::Boolean(truth) => return truth.then_some(None),
        DeValue::String(text) => text,
        _ => {
            section.wrong("in_order", "true, false or a path", value, found);
            return None;
        }
    };
    let path = rules::path_of(text, value.span(), found)?;
    if path.steps.contains(&Step::Each) {
        found.error(
            value.span(),
            "in_order goes by one value, and [*] finds several",
            "name the element, as in \"$.lines[0].id\", or a value of the whole event",
        );
        return None;
    }
    if batched {
        found.error(
            value.span(),
            "with batch there is no order by a value: one POST has events of many values",
            "write in_order = true for one batch at a time, or leave batch out",
        );
        return None;
    }
    Some(Some(path))
}

fn holds(section: &Section<'_, '_>, found: &mut Findings) -> bool {
    let Some(text) = section.text("if_failed", found) else {
        return false;
    };
    let holds = match text.value {
        "next" => false,
        "hold" => true,
        _ => {
            found.error(
                text.at,
                "if_failed is \"next\" or \"hold\"",
                "write \"next\", and what is behind a failed delivery goes on, or \"hold\", and it waits for you",
            );
            return false;
        }
    };
    let is_off = |value: &DeValue<'_>| matches!(value, DeValue::Boolean(false));
    if section
        .entry("in_order")
        .is_none_or(|(_, value)| is_off(value.get_ref()))
    {
        found.error(
            section.key_at("if_failed"),
            "if_failed is of no use without in_order",
            format!(
                "write {} beside it, or leave it out",
                section.example("in_order")
            ),
        );
    }
    holds
}
