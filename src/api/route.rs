//! Which answer a request gets, by its path and method.
//!
//! A path that is not there is 404, a method that it does not take is 405 with `Allow`. Over TCP
//! there are the metrics alone: whoever can reach a port may be anybody.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::Api;
use super::activity::{Activity, Phase};
use super::answer::{self, Answer, Denial};

/// What a listener gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything: the socket, whose mode says who may.
    All,
    /// `GET /metrics`.
    Metrics,
}

/// Answers one request. The turn is ours until the answer is handed over.
pub(super) async fn answer(
    api: Arc<Api>,
    scope: Scope,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    activity.enter(Phase::Body);
    let answered = api.route(scope, request, &activity).await;
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
    async fn route(
        self: &Arc<Self>,
        scope: Scope,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
    ) -> Result<Answer, Denial> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if scope == Scope::Metrics && parts != ["metrics"] {
            return Err(not_found());
        }
        match parts[..] {
            ["health" | "status" | "metrics"] | ["replays", _] => {
                if !matches!(*request.method(), Method::GET | Method::HEAD) {
                    return Err(answer::not_allowed("GET, HEAD"));
                }
                activity.enter(Phase::Busy);
                match parts[..] {
                    ["health"] => Ok(self.health().await),
                    ["status"] => Ok(self.status().await),
                    ["metrics"] => Ok(self.metrics().await),
                    [_, id] => self.replay_state(id).await,
                    _ => Err(not_found()),
                }
            }
            ["events" | "reload" | "redeliver" | "replay"]
            | ["webhooks", _, "test"]
            | ["deliveries", _, "redeliver"] => {
                if *request.method() != Method::POST {
                    return Err(answer::not_allowed("POST"));
                }
                if parts == ["events"] {
                    return self.events(request, activity).await;
                }
                let whole = self.order_body(request, activity).await?;
                let place = self.order_place()?;
                match parts[..] {
                    ["reload"] => self.reload().await,
                    ["redeliver"] => self.redeliver(&whole.bytes, activity, place).await,
                    ["replay"] => self.replay(&whole.bytes).await,
                    ["webhooks", name, _] => self.test(name, &whole.bytes).await,
                    ["deliveries", id, _] => self.redeliver_one(id).await,
                    _ => Err(not_found()),
                }
            }
            _ => Err(not_found()),
        }
    }
}

fn not_found() -> Denial {
    answer::denial(StatusCode::NOT_FOUND, "there is nothing under this path")
}
