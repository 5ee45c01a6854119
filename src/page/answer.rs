//! Answers, each with the headers that keep a browser from doing more with it than to show it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use maud::Markup;

/// What is sent back.
pub(super) type Answer = Response<Full<Bytes>>;

/// Nothing is loaded but the one style sheet and an empty icon, nothing runs, nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
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
