//! Answers, each with the headers that keep a browser from doing more with it than to show it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use maud::Markup;
use tokio::sync::mpsc;

use super::look::Trouble;
use super::view;

/// What is sent back.
pub(crate) type Answer = Response<Either<Full<Bytes>, Events>>;

/// Events as they come.
pub(crate) struct Events(pub mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = self.0.poll_recv(cx);
        event.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// Nothing is loaded but the one style sheet, the one script and an empty icon, nothing else runs, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Marks an answer that there is nothing under the path, for who has other paths beside.
#[derive(Clone, Copy)]
pub(crate) struct Nowhere;

/// The same answer, marked.
pub(super) fn nowhere(mut answer: Answer) -> Answer {
    answer.extensions_mut().insert(Nowhere);
    answer
}

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    bodied(status, content_type, Either::Left(Full::new(body)))
}

fn bodied(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, Events>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A page.
pub(super) fn html(status: StatusCode, page: Markup) -> Answer {
    let body = Bytes::from(page.into_string());
    typed(status, "text/html; charset=utf-8", body)
}

/// A page with a sentence.
pub(super) fn told(status: StatusCode, words: &str) -> Answer {
    html(status, view::sentence(status.as_u16(), words))
}

/// The page could not be made.
pub(super) fn fault() -> Answer {
    let words = "this page could not be made; its address would help in a report";
    told(StatusCode::INTERNAL_SERVER_ERROR, words)
}

/// A page with why there is nothing to show.
pub(super) fn troubled(trouble: Trouble) -> Answer {
    match trouble {
        Trouble::Nowhere => nothing_there(),
        Trouble::Nothing(words) => told(StatusCode::NOT_FOUND, &words),
        Trouble::Wrong(words) => told(StatusCode::BAD_REQUEST, &words),
        Trouble::Log(words) => told(StatusCode::SERVICE_UNAVAILABLE, &words),
    }
}

/// There is no such page.
pub(super) fn nothing_there() -> Answer {
    let words = "there is nothing under this address";
    nowhere(told(StatusCode::NOT_FOUND, words))
}

/// The page that takes the token over.
pub(super) fn taken_over(page: Markup, cookie: &str) -> Answer {
    let mut answer = html(StatusCode::OK, page);
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    let silent = HeaderValue::from_static("no-referrer");
    answer.headers_mut().insert(REFERRER_POLICY, silent);
    answer
}

/// The style sheet.
pub(super) fn css() -> Answer {
    let text = include_str!("page.css");
    typed(StatusCode::OK, "text/css; charset=utf-8", text.into())
}

/// The script.
pub(super) fn script() -> Answer {
    let text = include_str!("page.js");
    typed(
        StatusCode::OK,
        "text/javascript; charset=utf-8",
        text.into(),
    )
}

/// A stream of events, as long as somebody sends some.
pub(super) fn events(events: mpsc::Receiver<Bytes>) -> Answer {
    let body = Either::Right(Events(events));
    bodied(StatusCode::OK, "text/event-stream", body)
}

/// Bytes that a browser saves and never shows.
pub(super) fn file(bytes: Vec<u8>) -> Answer {
    let mut answer = typed(StatusCode::OK, "application/octet-stream", bytes.into());
    let saved = HeaderValue::from_static("attachment; filename=\"body\"");
    answer.headers_mut().insert(CONTENT_DISPOSITION, saved);
    answer
}

/// A file of a name and a kind of its own, which a browser saves and never shows.
pub(super) fn saved(name: &str, content_type: &'static str, text: String) -> Answer {
    let mut answer = typed(StatusCode::OK, content_type, text.into());
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    answer
}

/// The method is none that the page takes.
pub(super) fn with_allow(mut answer: Answer, allow: &'static str) -> Answer {
    let allow = HeaderValue::from_static(allow);
    answer.headers_mut().insert(ALLOW, allow);
    answer
}
