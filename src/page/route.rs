//! Which answer a request gets: first whether it comes from here, then whether it is let in, then its path.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::answer::{self, Answer, fault, told, troubled};
use super::look::{self, Delivery, Trouble};
use super::{GiveOrder, Page, Source, act, export, form, live, once, view};
use crate::model::caller::{self, Foreign, Names};
use crate::model::{AttemptId, DeliveryId};

/// The largest form: the ids of as many deliveries as the page does something with at once, each with 19 digits.
const MAX_FORM_BYTES: usize = 16 << 10;

/// Answers one request. Reading the log blocks, and so does asking the daemon, so a thread does it.
pub(crate) async fn answer<B>(page: Arc<Page>, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(foreign) = caller::judge(&request, Names::Loopback(&page.hosts)) {
        let (status, words) = match foreign {
            Foreign::Improper(words) => (StatusCode::BAD_REQUEST, words),
            Foreign::Refused(words) => (StatusCode::FORBIDDEN, words),
        };
        return told(status, &words);
    }
    let acts = *request.method() == Method::POST && page.gives().is_some();
    if !acts && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed(&page);
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path == "/page.css" && !acts {
        return answer::css();
    }
    if path == "/page.js" && !acts {
        return answer::script();
    }
    if let Some(outside) = page.outside(request.headers(), (&path, &query), acts) {
        return outside;
    }
    if path == "/live" && *request.method() == Method::GET {
        return match caller::judge_costly(&request) {
            Ok(()) => live::open(page, &query, request.headers()).await,
            Err(words) => told(StatusCode::FORBIDDEN, &words),
        };
    }
    if !acts
        && is_costly(&path)
        && let Err(words) = caller::judge_costly(&request)
    {
        return answer::html(StatusCode::FORBIDDEN, view::led_here(&words, &path, &query));
    }
    let turns = page.shared.clone();
    let answered = if acts {
        let Ok(form) = Limited::new(request.into_body(), MAX_FORM_BYTES)
            .collect()
            .await
        else {
            return told(StatusCode::PAYLOAD_TOO_LARGE, "no form is so large");
        };
        let form = String::from_utf8_lossy(&form.to_bytes()).into_owned();
        let _turn = turns.orders.acquire().await;
        tokio::task::spawn_blocking(move || page.act(&path, &form)).await
    } else {
        // What asks the daemon for a count takes an order's turn: looks into the log don't wait for it.
        let asks = path == "/replay";
        let turns = if asks { &turns.orders } else { &turns.looks };
        let _turn = turns.acquire().await;
        tokio::task::spawn_blocking(move || page.look(&path, &query)).await
    };
    answered.unwrap_or_else(|_| fault())
}

fn not_allowed(page: &Page) -> Answer {
    let (words, allow) = if page.gives().is_some() {
        ("the page takes GET, HEAD and POST", "GET, HEAD, POST")
    } else {
        ("this page only shows: it takes GET and HEAD", "GET, HEAD")
    };
    let answer = told(StatusCode::METHOD_NOT_ALLOWED, words);
    answer::with_allow(answer, allow)
}

/// Whether what is shown under that path reads through many rows: no page elsewhere may have a browser ask for it, as
/// often as it likes.
fn is_costly(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    matches!(
        *parts,
        ["new" | "replay" | "redeliver" | "cancel"] | ["webhooks", _, "match"]
    )
}

impl Page {
    /// The answer to who has not been let in, or shows the token now.
    fn outside(
        &self,
        headers: &HeaderMap,
        (path, query): (&str, &str),
        acts: bool,
    ) -> Option<Answer> {
        let door = self.door.as_ref()?;
        let onwards = if acts {
            "/".to_owned()
        } else {
            form::onwards(path, query)
        };
        let refused = |words: &str| {
            let page = view::shut(words, door.is_kept().then_some(&onwards));
            Some(answer::html(StatusCode::FORBIDDEN, page))
        };
        if let Some(token) = form::field(query, "token").filter(|_| !acts) {
            if door.opens(&token) {
                return Some(answer::taken_over(view::welcome(&onwards), &door.cookie()));
            }
            return refused(door.wrong());
        }
        if door.admits(headers) {
            return None;
        }
        refused(door.outside())
    }

    pub(super) fn gives(&self) -> Option<&GiveOrder> {
        match &self.source {
            Source::Own { give, .. } => give.as_ref(),
            Source::Copy(_) => None,
        }
    }

    fn act(&self, path: &str, form: &str) -> Answer {
        let mark = form::field(form, once::FIELD);
        if !self.shared.once.take(mark.as_deref()) {
            return answer::html(StatusCode::OK, view::done_before());
        }
        let answer = self.act_now(path, form);
        if answer.status() != StatusCode::OK {
            self.shared.once.give_back(mark.as_deref());
        }
        answer
    }

    fn act_now(&self, path: &str, form: &str) -> Answer {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if let Some(answer) = self.act_also(&parts, form) {
            return answer;
        }
        let (Some(order), Some(give)) = (act::order(&parts, form), self.gives()) else {
            let answer = told(StatusCode::NOT_FOUND, "nothing is done under this address");
            return answer::nowhere(answer);
        };
        let is_test = matches!(order, Ok(act::Order::Test(_)));
        match order.map(|order| order.give(give)) {
            Err(wrong) => answer::html(StatusCode::BAD_REQUEST, view::not_done(&wrong)),
            Ok(Err(why)) => answer::html(StatusCode::CONFLICT, view::not_done(&why)),
            Ok(Ok(done)) => {
                // A test is at its end when it is answered, and in the log.
                let id = done.delivery.filter(|_| is_test).map(DeliveryId::new);
                let seen = id.and_then(|id| look::delivery(self, id).ok());
                let page = view::done_with(&done, seen.as_ref());
                answer::html(StatusCode::OK, page)
            }
        }
    }

    fn look(&self, path: &str, query: &str) -> Answer {
        self.found(path, query).unwrap_or_else(troubled)
    }

    fn found(&self, path: &str, query: &str) -> Result<Answer, Trouble> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let ok = |page| Ok(answer::html(StatusCode::OK, page));
        match parts[..] {
            [""] => {
                let from = form::field(query, "from").and_then(|from| from.parse().ok());
                ok(view::overview(&look::overview(self, from.unwrap_or(0))?))
            }
            ["log"] => {
                let searched = form::field(query, "q").unwrap_or_default();
                let before = form::field(query, "before").and_then(|id| number(&id));
                let found = look::log(self, &searched, before.map(AttemptId::new))?;
                let status = if found.wrong.is_some() {
                    StatusCode::BAD_REQUEST
                } else {
                    StatusCode::OK
                };
                Ok(answer::html(status, view::log(&found)))
            }
            ["webhooks", name] => ok(view::webhook(&look::webhook(self, name)?)),
            ["deliveries", id] => {
                let id = number(id).ok_or(Trouble::Nowhere)?;
                ok(view::delivery(&look::delivery(self, DeliveryId::new(id))?))
            }
            ["deliveries", id, "difference"] => {
                let id = number(id).ok_or(Trouble::Nowhere)?;
                let found = look::compared(self, DeliveryId::new(id))?;
                ok(view::compared(&found))
            }
            ["deliveries", id, export @ ("export.json" | "export.html")] => {
                let id = number(id).ok_or(Trouble::Nowhere)?;
                let found = look::delivery(self, DeliveryId::new(id))?;
                Ok(exported(export::handed_on(found), export))
            }
            ["events", id] => ok(view::event(&look::event(self, id)?)),
            ["attempts", id, "body"] => {
                let id = number(id).ok_or(Trouble::Nowhere)?;
                let body = look::body(self, AttemptId::new(id))?;
                Ok(answer::file(body.into_bytes()))
            }
            _ => self.found_also(&parts, query),
        }
    }
}

fn exported(delivery: Delivery, how: &str) -> Answer {
    let name = |ending| format!("delivery-{}.{ending}", delivery.id);
    if how == "export.json" {
        let text = export::json(&delivery);
        return answer::saved(&name("json"), "application/json", text);
    }
    let text = view::file(&delivery).into_string();
    answer::saved(&name("html"), "text/html; charset=utf-8", text)
}

pub(super) fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}
