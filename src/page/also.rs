//! The addresses of what concerns many deliveries, of replays, and of a webhook that is to be.
//!
//! What acts on many is looked at first: a page says how many, and by which command the same is done; the button on it
//! does it.

use hyper::StatusCode;

use super::act::{Order, Replay};
use super::answer::{self, Answer, troubled};
use super::look::Trouble;
use super::many::{self, Deed, Wanted};
use super::route::number;
use super::{Page, form, stanza, view};
use crate::model::{AttemptId, EventId, ReplayId};

impl Page {
    /// What is shown under further addresses.
    ///
    /// # Errors
    /// There is nothing, or the log can't be read.
    pub(super) fn found_also(&self, parts: &[&str], query: &str) -> Result<Answer, Trouble> {
        let ok = |page| Ok(answer::html(StatusCode::OK, page));
        match *parts {
            ["replays", id] => {
                let id = number(id).map(ReplayId::new).ok_or(Trouble::Nowhere)?;
                ok(view::replay(&many::replay(self, id)?))
            }
            ["new"] => {
                let found = stanza::looked_at(self, query)?.ok_or(Trouble::Nowhere)?;
                ok(view::new_webhook(&found))
            }
            ["webhooks", name, "match"] => {
                let name = form::decoded(name);
                let found = stanza::matched(self, &name)?.ok_or(Trouble::Nowhere)?;
                ok(view::matched(&name, &found))
            }
            [word] => {
                let deed = Deed::of(word).filter(|_| self.gives().is_some());
                let Some(deed) = deed else {
                    return self.replay_from(parts, query);
                };
                let wanted = Wanted::read(query);
                ok(view::many(deed, &many::gathered(self, deed, &wanted)?))
            }
            _ => Err(Trouble::Nowhere),
        }
    }

    /// What a replay from an event on would be.
    fn replay_from(&self, parts: &[&str], query: &str) -> Result<Answer, Trouble> {
        let (["replay"], Some(give)) = (parts, self.gives()) else {
            return Err(Trouble::Nowhere);
        };
        let event = form::field(query, "event").and_then(|id| number(&id));
        let event = event.map(EventId::new).ok_or(Trouble::Nowhere)?;
        let written_ms = many::time_of(self, event)?;
        let replay = Replay {
            from: event,
            webhook: form::field(query, "webhook").filter(|name| !name.is_empty()),
            dry_run: true,
        };
        Ok(match Order::Replay(replay.clone()).give(give) {
            Ok(done) => answer::html(
                StatusCode::OK,
                view::replay_from(&replay, written_ms, &done, &self.mark()),
            ),
            Err(why) => answer::html(StatusCode::CONFLICT, view::not_done(&why)),
        })
    }

    /// What is done under further addresses; `None` where this is none of them.
    pub(super) fn act_also(&self, parts: &[&str], form: &str) -> Option<Answer> {
        let give = self.gives()?;
        let refused = |why: &str| answer::html(StatusCode::CONFLICT, view::not_done(why));
        if *parts == ["replay"] {
            let from = form::field(form, "from").and_then(|id| number(&id));
            let Some(from) = from.map(EventId::new) else {
                return Some(answer::told(
                    StatusCode::BAD_REQUEST,
                    "from: is no row's id",
                ));
            };
            let mut replay = Replay {
                from,
                webhook: form::field(form, "webhook").filter(|name| !name.is_empty()),
                dry_run: true,
            };
            // What was seen is what is done: events may have come meanwhile.
            let seen = form::field(form, "count").and_then(|count| number(&count));
            match Order::Replay(replay.clone()).give(give) {
                Ok(done) if done.matched != seen => {
                    let now = done.matched.unwrap_or(0);
                    return Some(refused(&format!(
                        "they are {now} now: look again, nothing was done"
                    )));
                }
                Ok(_) => replay.dry_run = false,
                Err(why) => return Some(refused(&why)),
            }
            return Some(match Order::Replay(replay).give(give) {
                Ok(done) => answer::html(StatusCode::OK, view::done(&done)),
                Err(why) => refused(&why),
            });
        }
        let [word] = *parts else {
            return None;
        };
        let deed = Deed::of(word)?;
        let wanted = Wanted::read(form);
        Some(match many::gathered(self, deed, &wanted) {
            Err(trouble) => troubled(trouble),
            Ok(found) => match many::refusal(&found, &wanted) {
                Some(why) => refused(&why),
                None => {
                    let worked = many::work_off(deed, &found.ids, give);
                    answer::html(StatusCode::OK, view::worked_off(deed, &worked))
                }
            },
        })
    }
}

impl Wanted {
    /// Out of the fields of an address or a form.
    fn read(fields: &str) -> Self {
        let ids = form::fields(fields, "id");
        Self {
            ids: ids.iter().filter_map(|id| number(id)).collect(),
            search: form::field(fields, "q"),
            webhook: form::field(fields, "webhook"),
            before: form::field(fields, "before")
                .and_then(|id| number(&id))
                .map(AttemptId::new),
            count: form::field(fields, "count").and_then(|count| count.parse().ok()),
        }
    }
}
