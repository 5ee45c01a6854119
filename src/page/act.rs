//! What a person does from the page: a form becomes an order that the socket of the daemon knows.
//!
//! The page itself writes nothing. Who may act is who was let in, asks from the page itself (`model::caller`), and runs
//! the command with the right to the socket. Each order is about one thing, but a replay; what is done to
//! many goes through these one by one (`many`).

use serde_json::{Value, json};

use crate::model::told::counted;
use crate::model::when::parse_span_ms;
use crate::model::{EventId, LONGEST_PAUSE_MS};

/// An order to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A sample to a webhook.
    Test(String),
    /// A webhook is held back, for so many milliseconds or until it is resumed.
    Pause(String, Option<i64>),
    /// It goes on.
    Resume(String),
    /// A delivery that ended is sent again.
    Redeliver(i64),
    /// A pending delivery is ended.
    Cancel(i64),
    /// The configuration is taken in.
    Reload,
    /// Events of the outbox are sent again.
    Replay(Replay),
}

/// What the daemon did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// In a sentence.
    pub told: String,
    /// Whether it is what one hoped for: a test may have failed.
    pub well: bool,
    /// A delivery that was made by it.
    pub delivery: Option<i64>,
    /// A replay that was begun by it.
    pub replay: Option<i64>,
    /// Deliveries that a replay makes, or would make.
    pub matched: Option<i64>,
    /// Events that are wanted for it and no longer in the outbox, about.
    pub pruned: i64,
    /// What a configuration that was taken in warns of, each with its line.
    pub warnings: Vec<String>,
}

/// Which events are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    /// From that row of the outbox on.
    pub from: EventId,
    /// To that webhook alone.
    pub webhook: Option<String>,
    /// It is only counted.
    pub dry_run: bool,
}

impl Replay {
    fn body(&self) -> Value {
        let mut body = json!({ "from_id": self.from });
        if let Some(webhook) = &self.webhook {
            body["webhook"] = webhook.as_str().into();
        }
        if self.dry_run {
            body["dry_run"] = true.into();
        }
        body
    }
}

/// Gives an order to the daemon, by its path of the socket and its body there, and has the answer; an error is why it
/// was not carried out.
pub(crate) type GiveOrder = Box<dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync>;

impl Order {
    /// Has the daemon carry it out.
    ///
    /// # Errors
    /// Why it was not.
    pub(super) fn give(&self, give: &GiveOrder) -> Result<Done, String> {
        let (path, body) = self.request();
        Ok(self.done(&give(&path, &body)?))
    }

    /// Its path of the socket, and its body there.
    fn request(&self) -> (String, Value) {
        match self {
            Self::Test(webhook) => (format!("/webhooks/{webhook}/test"), json!({})),
            Self::Pause(webhook, for_ms) => (
                "/pause".to_owned(),
                json!({ "webhook": webhook, "for_ms": for_ms }),
            ),
            Self::Resume(webhook) => ("/resume".to_owned(), json!({ "webhook": webhook })),
            Self::Redeliver(id) => (format!("/deliveries/{id}/redeliver"), json!({})),
            Self::Cancel(id) => (format!("/deliveries/{id}/cancel"), json!({})),
            Self::Reload => ("/reload".to_owned(), json!({})),
            Self::Replay(replay) => ("/replay".to_owned(), replay.body()),
        }
    }

    /// What the daemon's answer says.
    fn done(&self, answer: &Value) -> Done {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let mut done = Done {
            well: true,
            delivery: answer["delivery_id"].as_i64(),
            ..Done::default()
        };
        done.told = match self {
            Self::Test(webhook) => {
                let outcome = text("outcome");
                done.well = outcome == "delivered";
                match (answer["error"].as_str(), answer["status"].as_i64()) {
                    (Some(error), _) => format!("{webhook}: {outcome}: {error}"),
                    (None, Some(status)) => format!("{webhook}: {outcome} {status}"),
                    (None, None) => format!("{webhook}: {outcome}"),
                }
            }
            Self::Pause(webhook, _) => match answer["paused_until"].as_str() {
                Some(until) => {
                    format!("{webhook} is paused until {until}; what comes meanwhile waits")
                }
                None => {
                    format!("{webhook} is paused until it is resumed; what comes meanwhile waits")
                }
            },
            Self::Resume(webhook) if answer["resumed"] == true => {
                format!("{webhook} is resumed: what waited goes, the oldest first")
            }
            Self::Resume(webhook) => format!("{webhook} was not paused"),
            Self::Redeliver(id) => format!("delivery {id} is sent again"),
            Self::Cancel(id) => format!("delivery {id} is cancelled"),
            Self::Replay(_) => {
                done.replay = answer["replay"].as_i64();
                done.matched = answer["matched"].as_i64();
                done.pruned = answer["pruned"].as_i64().unwrap_or(0);
                "the replay has begun".to_owned()
            }
            Self::Reload => {
                let warnings = answer["warnings"].as_array().into_iter().flatten();
                let warnings = warnings.filter_map(Value::as_str).map(str::to_owned);
                done.warnings = warnings.collect();
                let webhooks = answer["webhooks"].as_i64().unwrap_or(0);
                let webhooks = counted(webhooks, "webhook");
                format!("the configuration was taken in: {webhooks}")
            }
        };
        done
    }
}

/// The order of a path and the fields that came with it; `None` where the path takes none.
///
/// # Errors
/// Which field is wrong.
pub(super) fn order(parts: &[&str], form: &str) -> Option<Result<Order, String>> {
    Some(match parts {
        ["reload"] => Ok(Order::Reload),
        ["webhooks", name, "test"] => Ok(Order::Test((*name).to_owned())),
        ["webhooks", name, "resume"] => Ok(Order::Resume((*name).to_owned())),
        ["webhooks", name, "pause"] => {
            span(form).map(|for_ms| Order::Pause((*name).to_owned(), for_ms))
        }
        ["deliveries", id, "redeliver"] => Ok(Order::Redeliver(id.parse().ok()?)),
        ["deliveries", id, "cancel"] => Ok(Order::Cancel(id.parse().ok()?)),
        _ => return None,
    })
}

/// How long a pause lasts; a blank field is until it is resumed.
fn span(form: &str) -> Result<Option<i64>, String> {
    let typed = super::form::field(form, "for").unwrap_or_default();
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    let span = parse_span_ms(typed).filter(|ms| (1..=LONGEST_PAUSE_MS).contains(ms));
    span.map(Some).ok_or_else(|| {
        format!("{typed:?} is no span: 10s, 5m, 2h or 3d, up to 366d; left blank, the pause lasts until it is resumed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_fields_are_one_order() {
        let of = |path: &str, form| order(&path.split('/').collect::<Vec<_>>(), form);
        let erp = || "erp".to_owned();
        assert_eq!(of("webhooks/erp/test", ""), Some(Ok(Order::Test(erp()))));
        let paused = |for_ms| Some(Ok(Order::Pause(erp(), for_ms)));
        assert_eq!(of("webhooks/erp/pause", "for=+2h"), paused(Some(7_200_000)));
        assert_eq!(of("webhooks/erp/pause", "for="), paused(None));
        for wrong in ["for=soon", "for=0s", "for=367d", "for=-1s"] {
            assert!(matches!(of("webhooks/erp/pause", wrong), Some(Err(_))));
        }
        assert_eq!(of("deliveries/7/cancel", ""), Some(Ok(Order::Cancel(7))));
        for none in ["", "deliveries/x/cancel", "webhooks/erp", "events"] {
            assert_eq!(of(none, ""), None, "{none}");
        }
    }
}
