//! The page in the daemon: on the socket beside its other paths, and what it asks of the daemon without a connection.
//!
//! A path that was there before the page keeps its answers. What a browser posts from the page itself is the page's,
//! also under such a path: it has an `Origin`, which no program sends, and wants HTML. Left out: what is shown, and who
//! is let in over a port.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap, ORIGIN, REFERER};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::Api;
use super::activity::{Activity, Phase};
use super::answer::{Answer, HttpError, Lines};
use super::route::Scope;
use crate::config::Config;
use crate::page::{self, Events, GiveOrder, Nowhere, Page, Question, Source};

/// Said where the page outlives what it asks.
const STOPPING: &str = "the daemon is stopping";

impl Api {
    /// What a page of this daemon shows.
    pub(crate) fn page_source(self: &Arc<Self>, config: &Arc<Config>, read_only: bool) -> Source {
        let (asked, ordered) = (Arc::downgrade(self), Arc::downgrade(self));
        let ask = move || {
            let api = asked.upgrade().ok_or(STOPPING)?;
            Ok(Handle::current().block_on(api.of_itself()))
        };
        let give = move |path: &str, body: &Value| give(&ordered, path, body);
        Source::Own {
            config: config.clone(),
            file: Some(self.about.config.clone()),
            ask: Question::new(ask),
            give: (!read_only).then(|| Box::new(give) as GiveOrder),
        }
    }

    /// The socket has this page from now on.
    pub(crate) fn show(&self, page: Page) {
        *self.page.write() = Some(Arc::new(page));
    }

    /// The page of the socket.
    pub(super) fn page(&self) -> Option<Arc<Page>> {
        self.page.read().clone()
    }

    /// An answer of the paths of the socket, or of the page where they have none.
    pub(super) async fn routes_and_page(
        self: &Arc<Self>,
        page: Arc<Page>,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
    ) -> Result<Answer, HttpError> {
        let head = head_of(&request);
        if is_of_page(&head) {
            let form = self.order_body(request, activity).await?;
            let request = head.map(|()| Full::from(form.bytes));
            return Ok(of_page(page::answer(page, request).await, activity));
        }
        let wants_html = wants_html(head.headers());
        let reads = matches!(*head.method(), Method::GET | Method::HEAD);
        let denial = if reads && wants_html && is_replay_of_page(&head) {
            None
        } else {
            match self.route(Scope::All, request, activity).await {
                Err(denial) if reads && may_be_pages(&denial, wants_html) => Some(denial),
                answered => return answered,
            }
        };
        activity.enter(Phase::Busy);
        let answer = page::answer(page, head.map(|()| Full::<Bytes>::default())).await;
        match denial {
            // A path that only acts is told as one, to a browser too.
            Some(denial)
                if answer.extensions().get::<Nowhere>().is_some()
                    && (!wants_html || denial.status() != StatusCode::NOT_FOUND) =>
            {
                Err(denial)
            }
            _ => Ok(of_page(answer, activity)),
        }
    }
}

/// Whether the page may have an answer where the socket's paths have none: under none of them, or for a browser that
/// reads where they only act.
fn may_be_pages(denial: &Answer, wants_html: bool) -> bool {
    denial.extensions().get::<Nowhere>().is_some()
        || wants_html && denial.status() == StatusCode::METHOD_NOT_ALLOWED
}

/// Whether a browser comes from the page to a replay, which programs ask for under the same path.
fn is_replay_of_page(head: &Request<()>) -> bool {
    head.uri().path().starts_with("/replays/") && head.headers().contains_key(REFERER)
}

/// The page's answer as the socket's.
fn of_page(answer: Response<Either<Full<Bytes>, Events>>, activity: &Arc<Activity>) -> Answer {
    answer.map(|body| match body {
        Either::Left(whole) => Either::Left(whole),
        Either::Right(Events(events)) => {
            activity.enter(Phase::Watches);
            Either::Right(Lines::new(events, activity.clone()))
        }
    })
}

/// The request without its body.
fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    head
}

/// Whether a browser posts a form of the page; that it is of no other page was judged before.
fn is_of_page(head: &Request<()>) -> bool {
    *head.method() == Method::POST
        && head.headers().contains_key(ORIGIN)
        && wants_html(head.headers())
        && head.uri().path() != "/events"
}

fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.contains("text/html"))
    })
}

/// Carries out an order of the page, by its path of the socket.
fn give(api: &Weak<Api>, path: &str, body: &Value) -> Result<Value, String> {
    let api = api.upgrade().ok_or(STOPPING)?;
    let request = Request::post(path).body(Full::<Bytes>::from(body.to_string()));
    let request = request.map_err(|error| error.to_string())?;
    let activity = Arc::new(Activity::new(api.dispatch.clock().clone()));
    let (is_done, body) = Handle::current().block_on(async {
        let answered = api.route(Scope::All, request, &activity).await;
        let answer = answered.unwrap_or_else(|denial| *denial);
        let is_done = answer.status().is_success();
        let body = answer.into_body().collect().await;
        (
            is_done,
            body.map(|body| body.to_bytes()).unwrap_or_default(),
        )
    });
    // An answer of lines says in its last one what became of all.
    let last = body.trim_ascii().rsplit(|byte| *byte == b'\n').next();
    let answer: Value = serde_json::from_slice(last.unwrap_or_default()).unwrap_or(json!({}));
    match answer["error"].as_str() {
        Some(error) if !is_done => Err(error.to_owned()),
        None if !is_done => Err("the daemon refused it without a word".to_owned()),
        _ => Ok(answer),
    }
}
