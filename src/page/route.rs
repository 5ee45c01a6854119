//! Which answer a request gets: first whether it comes from here, then whether it is let in, then its path.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::{Method, Request, StatusCode};

use super::answer::{self, Answer};
use super::look::{self, Trouble};
use super::{Page, form, view};
use crate::model::caller::{self, Foreign, Names};
use crate::model::{AttemptId, DeliveryId};

/// Answers one request. Reading the log blocks, so a thread does it.
pub(super) async fn answer<B>(page: Arc<Page>, request: Request<B>) -> Result<Answer, Infallible> {
    if let Err(foreign) = caller::judge(&request, Names::Loopback) {
        let (status, words) = match foreign {
            Foreign::Improper(words) => (StatusCode::BAD_REQUEST, words),
            Foreign::Refused(words) => (StatusCode::FORBIDDEN, words),
        };
        return Ok(told(status, &words));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let words = "the page only shows: it takes GET and HEAD";
        let answer = told(StatusCode::METHOD_NOT_ALLOWED, words);
        return Ok(answer::with_allow(answer));
    }
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path == "/page.css" {
        return Ok(answer::css());
    }
    if let Some(token) = form::field(&query, "token") {
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
    let looked = tokio::task::spawn_blocking(move || page.look(&path, &query)).await;
    Ok(looked.unwrap_or_else(|_| {
        let words = "this page could not be made; its address would help in a report";
        told(StatusCode::INTERNAL_SERVER_ERROR, words)
    }))
}

/// A page with a sentence.
fn told(status: StatusCode, words: &str) -> Answer {
    answer::html(status, view::sentence(status.as_u16(), words))
}

impl Page {
    fn look(&self, path: &str, query: &str) -> Answer {
        match self.found(path, query) {
            Ok(answer) => answer,
            Err(Trouble::Nothing(words)) => told(StatusCode::NOT_FOUND, &words),
            Err(Trouble::Log(words)) => told(StatusCode::SERVICE_UNAVAILABLE, &words),
        }
    }

    fn found(&self, path: &str, query: &str) -> Result<Answer, Trouble> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let ok = |page| Ok(answer::html(StatusCode::OK, page));
        match parts[..] {
            [""] => ok(view::overview(&look::overview(self)?)),
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
            ["deliveries", id] => {
                let id = number(id).ok_or_else(nowhere)?;
                ok(view::delivery(&look::delivery(self, DeliveryId::new(id))?))
            }
            ["events", id] => ok(view::event(&look::event(self, id)?)),
            ["attempts", id, "body"] => {
                let id = number(id).ok_or_else(nowhere)?;
                let body = look::body(self, AttemptId::new(id))?;
                Ok(answer::file(body.into_bytes()))
            }
            _ => Err(nowhere()),
        }
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn nowhere() -> Trouble {
    Trouble::Nothing("there is nothing under this address".to_owned())
}
