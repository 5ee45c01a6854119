//! What an event of webhooksd itself was, by what the log keeps of it: it has no row to look at.
//!
//! Its name and tenant stand with each of its bodies, its `data` in any that is kept, and its deliveries say when it
//! was made. Left out: what follows for a webhook (`reason`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::filter;
use crate::model::{Dialect, Event, EventId, Unwanted, Webhook};
use crate::store::{Error, EventTrace, LogReader};

/// An event of webhooksd itself.
#[derive(Debug)]
pub(super) struct Own {
    /// Its `data` is empty where no body of it is kept.
    pub(super) event: Event,
    /// Whether a body of it is kept.
    pub(super) has_data: bool,
    /// When it was made, UNIX milliseconds, where one of its first deliveries is there yet.
    pub(super) made_ms: Option<i64>,
}

/// A body that has `data` beside the event's id and name.
#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A body of bold-cms.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    v1: Flat<'a>,
}

impl Own {
    /// Reads the event of that id and name, which is one of these; `None` where the log has no delivery of it.
    pub(super) fn read(
        (id, name): (EventId, &str),
        trace: &EventTrace,
        log: &dyn LogReader,
    ) -> Result<Option<Self>, Error> {
        let Some(newest) = trace.deliveries.first() else {
            return Ok(None);
        };
        let bodies = log.bodies(newest.generation, id)?;
        let data = bodies
            .iter()
            .find_map(|(dialect, body)| data(dialect, body));
        let firsts = trace.deliveries.iter().filter(|d| d.origin == "event");
        let made_ms = firsts.filter_map(|d| d.created_at_ms).min();
        Ok(Some(Self {
            has_data: data.is_some(),
            event: Event {
                id,
                name: name.into(),
                data: data.unwrap_or_default().into(),
                time_ms: made_ms.unwrap_or_default(),
                tenant: log.tenant(id)?.map(Into::into),
            },
            made_ms,
        }))
    }

    /// The matching rule, as far as what is kept decides it.
    pub(super) fn wanted(&self, webhook: &Webhook) -> Result<(), Unwanted> {
        if self.has_data {
            return filter::wants(webhook, &self.event);
        }
        webhook.wants(&self.event.name, self.event.tenant.as_deref())
    }

    /// Whether it was made before then, UNIX milliseconds.
    pub(super) fn is_before(&self, since_ms: i64) -> bool {
        self.made_ms.is_some_and(|made_ms| made_ms < since_ms)
    }
}

/// The text of `data` in a body of that dialect.
fn data<'b>(dialect: &str, body: &'b [u8]) -> Option<&'b str> {
    let body = std::str::from_utf8(body).ok()?;
    let data = if Dialect::from_name(dialect) == Some(Dialect::BoldCms) {
        serde_json::from_str::<Versioned<'_>>(body).ok()?.v1.data
    } else {
        serde_json::from_str::<Flat<'_>>(body).ok()?.data
    };
    Some(data.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::body;

    #[test]
    fn data_is_found_in_a_body_of_every_dialect() {
        let event = Event {
            id: EventId::new(1 << 53),
            name: "webhooksd.webhook.paused".into(),
            data: r#"{"v1":1.0,"data": [1]}"#.into(),
            time_ms: 5,
            tenant: None,
        };
        for dialect in Dialect::ALL {
            let bytes = body(dialect, &event, None);
            assert_eq!(
                data(dialect.name(), &bytes),
                Some(&*event.data),
                "{dialect:?}"
            );
        }
        assert_eq!(data("bold-cms", b"{}"), None);
        assert_eq!(data("bold-cms", b"\xff"), None);
    }
}
