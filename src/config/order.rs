//! `in_order` and `if_failed` of a webhook: one at a time, and what a failure does to those behind it.

use toml::de::DeValue;

use super::diagnostic::Findings;
use super::rules;
use super::section::Section;
use crate::model::{BatchRule, Order, Path, Step};

/// What a path of one value looks like.
const EXAMPLE: &str =
    "write a path such as \"$.identifier\", \"$.lines[0].id\" or \"$['odd name']\", or true";

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
    if let "true" | "false" = &**text {
        found.error(
            value.span(),
            format!("in_order is {text} or a path, and in quotes this is neither"),
            format!("write in_order = {text}, without quotes"),
        );
        return None;
    }
    let path = rules::path_of((text, value.span()), EXAMPLE, found)?;
    if path.steps.is_empty() {
        found.warning(
            Some(value.span()),
            "$ is the whole of data: where that is an object or an array nothing waits for anything",
            "write in_order = true for all one at a time, or a path to a value, as \"$.identifier\"",
        );
    }
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

/// The requests in flight of a webhook: with `batch` and an order one, also where what has one turn is more than goes
/// in a POST.
pub(super) fn in_flight(
    section: &Section<'_, '_>,
    (order, batch): (Option<&Order>, Option<&BatchRule>),
    max_in_flight: usize,
    found: &mut Findings,
) -> usize {
    if order.is_none() || batch.is_none() {
        return max_in_flight;
    }
    if section.has("max_in_flight") && max_in_flight > 1 {
        found.warning(
            Some(section.key_at("max_in_flight")),
            "max_in_flight is of no use beside batch and in_order: one batch is in flight at a time",
            "leave it out, or in_order, or batch",
        );
    }
    1
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
