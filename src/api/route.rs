//! Which answer a request gets, by its path and method.
//!
//! A path that is not there is 404, a method that it does not take is 405 with `Allow`. Over TCP
//! there are the metrics alone: whoever can reach a port may be anybody. Before any of it, a request is held to
//! come from no foreign page (`model::caller`), so that no path can forget to ask. What is none of these paths may be
//! the page's (`shown`).

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::activity::{Activity, Phase};
use super::answer::{self, Answer, HttpError};
use super::body::{Sent, Whole};
use crate::model::caller::{self, Foreign, Names};
use crate::page::Nowhere;

/// What a listener gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything: the socket, whose mode says who may.
    All,
    /// `GET /metrics`, asked for by such names.
    Metrics(Names<'static>),
}

/// Answers one request. The turn is ours until the answer is handed over.
pub(super) async fn answer(
    api: Arc<Api>,
    scope: Scope,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    activity.enter(Phase::Body);
    let page = api.page().filter(|_| scope == Scope::All);
    let hosts = page.as_ref().map_or(&[][..], |page| &page.hosts);
    let answered = match (from_here(scope, hosts, &request), page) {
        (Ok(()), Some(page)) => api.routes_and_page(page, request, &activity).await,
        (Ok(()), None) => api.route(scope, request, &activity).await,
        (Err(denial), _) => Err(denial),
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(denial) => *denial,
    };
    // A streamed answer is ours to its end; see `answer::Lines`.
    if matches!(answer.body(), http_body_util::Either::Left(_)) {
        activity.enter(Phase::Silent);
    }
    Ok(answer)
}

impl Api {
    pub(super) async fn route(
        self: &Arc<Self>,
        scope: Scope,
        request: Request<impl Sent>,
        activity: &Arc<Activity>,
    ) -> Result<Answer, HttpError> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if matches!(scope, Scope::Metrics(_)) && parts != ["metrics"] {
            return Err(not_found());
        }
        match parts[..] {
            ["health"] => {
                reads(&request, activity)?;
                Ok(self.health().await)
            }
            ["status"] => {
                reads(&request, activity)?;
                match request.uri().query() {
                    Some("brief") => Ok(self.status_in_brief().await),
                    _ => Ok(self.status().await),
                }
            }
            ["metrics"] => {
                reads(&request, activity)?;
                Ok(self.metrics().await)
            }
            ["replays", id] => {
                reads(&request, activity)?;
                self.replay_state(id).await
            }
            ["events"] => {
                posts(&request)?;
                self.events(request, activity).await
            }
            ["reload"] => {
                let (_body, _permit) = self.order(request, activity).await?;
                self.reload().await
            }
            ["pause"] => {
                let (body, _permit) = self.order(request, activity).await?;
                self.pause(&body.bytes).await
            }
            ["resume"] => {
                let (body, _permit) = self.order(request, activity).await?;
                self.resume(&body.bytes).await
            }
            ["redeliver"] => {
                let (body, permit) = self.order(request, activity).await?;
                self.redeliver(&body.bytes, activity, permit).await
            }
            ["cancel"] => {
                let (body, permit) = self.order(request, activity).await?;
                self.cancel(&body.bytes, activity, permit).await
            }
            ["replay"] => {
                let (body, _permit) = self.order(request, activity).await?;
                self.replay(&body.bytes).await
            }
            ["webhooks", name, "test"] => {
                let (body, _permit) = self.order(request, activity).await?;
                self.test(name, &body.bytes).await
            }
            ["deliveries", id, "redeliver"] => {
                let (_body, _permit) = self.order(request, activity).await?;
                self.redeliver_one(id).await
            }
            ["deliveries", id, "cancel"] => {
                let (_body, _permit) = self.order(request, activity).await?;
                self.cancel_one(id).await
            }
            _ => Err(not_found()),
        }
    }

    /// The body of an order, and its permit among those at work.
    async fn order(
        &self,
        request: Request<impl Sent>,
        activity: &Arc<Activity>,
    ) -> Result<(Whole, OwnedSemaphorePermit), HttpError> {
        posts(&request)?;
        let whole = self.order_body(request, activity).await?;
        Ok((whole, self.order_permit()?))
    }
}

/// Holds that no foreign page asks.
fn from_here<B>(scope: Scope, hosts: &[String], request: &Request<B>) -> Result<(), HttpError> {
    let names = match scope {
        Scope::All => Names::Loopback(hosts),
        Scope::Metrics(names) => names,
    };
    caller::judge(request, names).map_err(|foreign| match foreign {
        Foreign::Improper(words) => answer::denial(StatusCode::BAD_REQUEST, &words),
        Foreign::Refused(words) => answer::denial(StatusCode::FORBIDDEN, &words),
    })
}

fn reads<B>(request: &Request<B>, activity: &Activity) -> Result<(), HttpError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(answer::not_allowed("GET, HEAD"));
    }
    activity.enter(Phase::Busy);
    Ok(())
}

fn posts<B>(request: &Request<B>) -> Result<(), HttpError> {
    if *request.method() != Method::POST {
        return Err(answer::not_allowed("POST"));
    }
    Ok(())
}

fn not_found() -> HttpError {
    let mut denial = answer::denial(StatusCode::NOT_FOUND, "there is nothing under this path");
    denial.extensions_mut().insert(Nowhere);
    denial
}
