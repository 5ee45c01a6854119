//! What became of an order.

use maud::{Markup, html};

use super::super::act::Done;
use super::super::look::Delivery;
use super::{Here, framed, others};
use crate::model::shown;

/// `seen` is the delivery that was made by it, where that is at its end.
pub(in crate::page) fn done_with(done: &Done, seen: Option<&Delivery>) -> Markup {
    let content = html! {
        p class={ "note " (if done.well { "good" } else { "bad" }) } role="status" { (others(&done.told)) }
        (super::warnings(&done.warnings))
        @if let Some(id) = done.delivery { p { a href={ "/deliveries/" (id) } { "Delivery " (id) } } }
        @if let Some(id) = done.replay { p { a href={ "/replays/" (id) } { "How far the replay is" } } }
        @if let Some(seen) = seen { (super::delivery::said(seen)) }
        (onwards())
    };
    framed(
        if done.well {
            "Done"
        } else {
            "Done, without success"
        },
        Here::Elsewhere,
        &content,
    )
}

pub(in crate::page) fn done(done: &Done) -> Markup {
    done_with(done, None)
}

/// An order that was not carried out, with the daemon's own words, which may be many lines.
pub(in crate::page) fn not_done(why: &str) -> Markup {
    let content = html! {
        div role="alert" { pre tabindex="0" { (shown::block(why, "")) } }
        (onwards())
    };
    framed("Not done", Here::Elsewhere, &content)
}

/// A form that did what it says when it was posted before.
pub(in crate::page) fn done_before() -> Markup {
    let content = html! {
        p class="note warn" role="status" {
            "This very form was sent before, and nothing was done a second time. To do it once more, open the page with "
            "its button again."
        }
        (onwards())
    };
    framed("Done before", Here::Elsewhere, &content)
}

fn onwards() -> Markup {
    html! { p { a href="/" { "Overview" } ", " a href="/log" { "Log" } } }
}
