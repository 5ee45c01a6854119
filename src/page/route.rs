//! Which answer a request gets: first whether it comes from here, then whether it is let in, then its path.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::answer::{self, Answer};
use super::look::{self, Delivery, Trouble};
use super::{GiveOrder, Page, Source, act, export, form, view};
use crate::model::caller::{self, Foreign, Names};
use crate::model::{AttemptId, DeliveryId};

/// The largest form: a span.
const MAX_FORM_BYTES: usize = 4 << 10;

/// Answers one request. Reading the log blocks, and so does asking the daemon, so a thread does it.
pub(super) async fn answer(
    page: Arc<Page>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    if let Err(foreign) = caller::judge(&request, Names::Loopback) {
        let (status, words) = match foreign {
            Foreign::Improper(words) => (StatusCode::BAD_REQUEST, words),
            Foreign::Refused(words) => (StatusCode::FORBIDDEN, words),
        };
        return Ok(told(status, &words));
    }
    let acts = *request.method() == Method::POST && page.gives().is_some();
    if !acts && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(not_allowed(&page));
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path == "/page.css" && !acts {
        return Ok(answer::css());
    }
    if let Some(token) = form::field(&query, "token").filter(|_| !acts) {
        if page.door.opens(&token) {
            return Ok(answer::taken_over(view::welcome(), &page.door.cookie()));
        }
        let words = "this token is of another run of `webhooksd page`; use the address that the \
                     running one has printed";
        return Ok(told(StatusCode::FORBIDDEN, words));
    }
    if !page.door.admits(request.headers()) {
        let words = "this browser has not been let in: open the address, with its token, that \
                     `webhooksd page` has printed";
        return Ok(told(StatusCode::FORBIDDEN, words));
    }
    let answered = if acts {
        let Ok(form) = Limited::new(request.into_body(), MAX_FORM_BYTES)
            .collect()
            .await
        else {
            return Ok(told(StatusCode::PAYLOAD_TOO_LARGE, "no form is so large"));
        };
        let form = String::from_utf8_lossy(&form.to_bytes()).into_owned();
        tokio::task::spawn_blocking(move || page.act(&path, &form)).await
    } else {
        tokio::task::spawn_blocking(move || page.look(&path, &query)).await
    };
    Ok(answered.unwrap_or_else(|_| {
        let words = "this page could not be made; its address would help in a report";
        told(StatusCode::INTERNAL_SERVER_ERROR, words)
    }))
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

/// A page with why there is nothing to show.
pub(super) fn troubled(trouble: Trouble) -> Answer {
    match trouble {
        Trouble::Nothing(words) => told(StatusCode::NOT_FOUND, &words),
        Trouble::Log(words) => told(StatusCode::SERVICE_UNAVAILABLE, &words),
    }
}

/// A page with a sentence.
pub(super) fn told(status: StatusCode, words: &str) -> Answer {
    answer::html(status, view::sentence(status.as_u16(), words))
}

impl Page {
    pub(super) fn gives(&self) -> Option<&GiveOrder> {
        match &self.source {
            Source::Own { give, .. } => give.as_ref(),
            Source::Copy(_) => None,
        }
    }

    fn act(&self, path: &str, form: &str) -> Answer {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if let Some(answer) = self.act_also(&parts, form) {
            return answer;
        }
        let (Some(order), Some(give)) = (act::order(&parts, form), self.gives()) else {
            return told(StatusCode::NOT_FOUND, "nothing is done under this address");
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
                let id = number(id).ok_or_else(nowhere)?;
                ok(view::delivery(&look::delivery(self, DeliveryId::new(id))?))
            }
            ["deliveries", id, "difference"] => {
                let id = number(id).ok_or_else(nowhere)?;
                let found = look::compared(self, DeliveryId::new(id))?;
                ok(view::compared(&found))
            }
            ["deliveries", id, export @ ("export.json" | "export.html")] => {
                let id = number(id).ok_or_else(nowhere)?;
                let found = look::delivery(self, DeliveryId::new(id))?;
                Ok(exported(export::handed_on(found), export))
            }
            ["events", id] => ok(view::event(&look::event(self, id)?)),
            ["attempts", id, "body"] => {
                let id = number(id).ok_or_else(nowhere)?;
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

pub(super) fn nowhere() -> Trouble {
    Trouble::Nothing("there is nothing under this address".to_owned())
}
