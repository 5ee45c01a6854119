//! Answers: JSON in one piece, lines that come as they are made, or a text.
//!
//! Every error is `{"error":"…"}`, with a `hint` where a person can do something about it. A body ends with a newline, for those who look with curl.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::activity::{Activity, Phase};

/// What is sent back.
pub(super) type Answer = Response<Either<Full<Bytes>, Lines>>;

/// A refusal with its answer, boxed for it is large.
pub(super) type HttpError = Box<Answer>;

/// The media type of Prometheus's text format, version 0.0.4.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A body of lines that come as they are made. Its end begins the client's next turn.
pub(super) struct Lines {
    lines: mpsc::Receiver<Bytes>,
    activity: Arc<Activity>,
}

impl Lines {
    pub(super) fn new(lines: mpsc::Receiver<Bytes>, activity: Arc<Activity>) -> Self {
        Self { lines, activity }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let line = self.lines.poll_recv(cx);
        line.map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.activity.enter(Phase::Silent);
    }
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: Either<Full<Bytes>, Lines>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// JSON text that is ready.
pub(super) fn json_text(status: StatusCode, mut text: String) -> Answer {
    text.push('\n');
    typed(status, "application/json", Either::Left(Full::from(text)))
}

/// A JSON value.
pub(super) fn value(status: StatusCode, value: &Value) -> Answer {
    json_text(status, value.to_string())
}

/// Whatever is JSON, its keys in the order of the alphabet as in every answer.
pub(super) fn of(status: StatusCode, shape: &impl Serialize) -> Answer {
    // A struct of strings and numbers can't fail to be JSON; a map with odd keys could.
    value(status, &serde_json::to_value(shape).unwrap_or_default())
}

/// An error.
fn error(status: StatusCode, words: &str) -> Answer {
    shaped(status, &json!({ "error": words }))
}

fn shaped(status: StatusCode, shape: &Value) -> Answer {
    let mut answer = value(status, shape);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A refusal with its words.
pub(super) fn denial(status: StatusCode, words: &str) -> HttpError {
    Box::new(error(status, words))
}

/// What an order came to that was not carried out, and what there is to do.
pub(super) fn unavailable(words: &str, hint: Option<String>) -> HttpError {
    let mut shape = json!({ "error": words });
    if let Some(hint) = hint {
        shape["hint"] = hint.into();
    }
    Box::new(shaped(StatusCode::SERVICE_UNAVAILABLE, &shape))
}

/// The method is not one of those that the path takes.
pub(super) fn not_allowed(allow: &'static str) -> HttpError {
    let mut answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this path takes {allow}"),
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    Box::new(answer)
}

/// Lines of JSON.
pub(super) fn lines(lines: mpsc::Receiver<Bytes>, activity: Arc<Activity>) -> Answer {
    let body = Lines::new(lines, activity);
    typed(StatusCode::OK, "application/x-ndjson", Either::Right(body))
}

/// The metrics' text.
pub(super) fn prometheus(text: String) -> Answer {
    typed(StatusCode::OK, PROMETHEUS, Either::Left(Full::from(text)))
}

/// One line of JSON.
pub(super) fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
