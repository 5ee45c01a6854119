//! Adding events to an outbox in PostgreSQL: one statement a call, which commits by itself.
//!
//! A key that was seen is looked for before, since a statement that fails for it writes into the server's log, with the row.
//! Where another commits the same key in between, the table's index refuses the whole statement, and it is looked anew.
//! So no transaction stays open, and a pooler may stand between. What the rules are is the other engine's (`append`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::facts::Facts;
use super::sql::AddSql;
use crate::model::{EventId, Server, crash};
use crate::outbox::Error;
use crate::outbox::append::{AppendError, Appended, NewEvent, check, check_each};
use crate::outbox::row::Judge;
use crate::postgres::{Link, Trouble};

/// For an answer; the statement itself waits 5 s for other transactions, as with SQLite.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often a call looks anew where others commit the same keys at the same time.
const TRIES: u32 = 100;

const STEP: &str = "add events";

/// A connection that adds events.
pub(crate) struct Appender {
    link: Link,
    sql: AddSql,
    judge: Judge,
    /// Whether the table has the columns `tenant` and `key`.
    has: (bool, bool),
}

/// A row that has a key.
struct Known {
    id: EventId,
    event: String,
    /// `None`: longer than what may be given.
    data: Option<String>,
    /// `None`: no whole millisecond, or none at all.
    time_ms: Option<i64>,
    tenant: Option<String>,
}

impl Known {
    /// Whether that event is this one once more.
    fn is_of(&self, event: &NewEvent) -> bool {
        self.event == event.event
            && self.data.as_ref() == Some(&event.data)
            && self.tenant == event.tenant
            && (event.time_ms.is_none() || event.time_ms == self.time_ms)
    }

    fn answer(&self, event: &NewEvent) -> Appended {
        match self.is_of(event) {
            true => Appended::Again(self.id),
            false => Appended::Conflict(self.id),
        }
    }
}

/// What is to come of an event.
#[derive(Clone, Copy)]
enum Plan {
    /// Its key has a row.
    Seen(Appended),
    /// It is added, as one of so many before it.
    New(usize),
    /// Its key is that of such a one, with the same content or not.
    With(usize, bool),
}

impl Appender {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub(crate) fn open(server: &Arc<Server>, max_data_bytes: usize) -> Result<Self, Error> {
        let link = Link::within(server, PATIENCE).map_err(Error::Server)?;
        let facts = Facts::of(&link).map_err(Error::Server)?;
        Ok(Self {
            sql: AddSql::new(&facts),
            has: (facts.has_tenant, facts.has_key),
            judge: Judge {
                max_data_bytes,
                utf16: false,
            },
            link,
        })
    }

    /// Takes another limit for the longest `data` of an event.
    pub(crate) fn limit_data(&mut self, max_data_bytes: usize) {
        self.judge.max_data_bytes = max_data_bytes;
    }

    /// Whether the connection is gone, as far as this machine was told.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Judges an event without adding it.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub(crate) fn check(&self, event: &NewEvent) -> Result<(), (&'static str, String)> {
        check(event, self.judge, self.has)
    }

    /// Adds the events, `all` or nothing or each for itself.
    ///
    /// # Errors
    /// Nothing was added; but where no answer came, nobody knows.
    pub(crate) fn add(
        &mut self,
        events: &[NewEvent],
        all: bool,
    ) -> Result<Vec<Appended>, AppendError> {
        check_each(events, |event| self.check(event))?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |trouble| AppendError::Outbox(Error::Server(trouble));
        let mut tries = 0;
        loop {
            let known = self.known(events).map_err(failed)?;
            let (plans, new) = plan(events, &known);
            if let Some((index, id)) = first_conflict(&plans).filter(|_| all) {
                return Err(AppendError::Conflict { index, id });
            }
            crash::point("append", crash::BEFORE_COMMIT);
            match self.insert(&new) {
                Ok(ids) => {
                    crash::point("append", crash::COMMITTED);
                    return Ok(plans.iter().map(|plan| answer(*plan, &ids)).collect());
                }
                Err(trouble) if trouble.is_twice() && tries < TRIES => tries += 1,
                Err(trouble) => return Err(failed(trouble)),
            }
        }
    }

    /// The rows that have keys of these events.
    fn known(&self, events: &[NewEvent]) -> Result<HashMap<String, Known>, Trouble> {
        const STEP: &str = "look for keys";
        let keys: Vec<&str> = events.iter().filter_map(|e| e.key.as_deref()).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let most = i64::try_from(self.judge.max_data_bytes).unwrap_or(i64::MAX);
        let values: [_; 2] = [(&keys as _, Type::TEXT_ARRAY), (&most as _, Type::INT8)];
        let found = self.link.rows(STEP, &self.sql.known, &values)?;
        let known = found.iter().map(|row| {
            let known = Known {
                id: EventId::new(row.try_get(1)?),
                event: row.try_get(2)?,
                data: row.try_get(3)?,
                time_ms: row.try_get(4)?,
                tenant: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, known))
        });
        let known: Result<_, _> = known.collect();
        known.map_err(|error| Trouble::of_step(&self.link.server, STEP, error))
    }

    /// Adds all of them, or none; their ids.
    fn insert(&self, events: &[&NewEvent]) -> Result<Vec<EventId>, Trouble> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = events.iter().map(|e| &*e.event).collect();
        let data: Vec<&str> = events.iter().map(|e| &*e.data).collect();
        let times: Vec<Option<i64>> = events.iter().map(|e| e.time_ms).collect();
        let tenants: Vec<Option<&str>> = events.iter().map(|e| e.tenant.as_deref()).collect();
        let keys: Vec<Option<&str>> = events.iter().map(|e| e.key.as_deref()).collect();
        let values: [_; 5] = [
            (&names as _, Type::TEXT_ARRAY),
            (&data as _, Type::TEXT_ARRAY),
            (&times as _, Type::INT8_ARRAY),
            (&tenants as _, Type::TEXT_ARRAY),
            (&keys as _, Type::TEXT_ARRAY),
        ];
        let found = self.link.rows(STEP, &self.sql.insert, &values)?;
        let ids = found.iter().map(|row| row.try_get(0).map(EventId::new));
        let ids: Result<Vec<_>, _> = ids.collect();
        ids.map_err(|error| Trouble::of_step(&self.link.server, STEP, error))
    }
}

/// What is to come of each, and those that are added.
fn plan<'a>(
    events: &'a [NewEvent],
    known: &HashMap<String, Known>,
) -> (Vec<Plan>, Vec<&'a NewEvent>) {
    let mut new: Vec<&NewEvent> = Vec::new();
    let mut by_key: HashMap<&str, usize> = HashMap::new();
    let plans = events.iter().map(|event| {
        let key = event.key.as_deref();
        if let Some(row) = key.and_then(|key| known.get(key)) {
            return Plan::Seen(row.answer(event));
        }
        if let Some(at) = key.and_then(|key| by_key.get(key)) {
            return Plan::With(*at, is_same(new[*at], event));
        }
        by_key.extend(key.map(|key| (key, new.len())));
        new.push(event);
        Plan::New(new.len() - 1)
    });
    (plans.collect(), new)
}

/// Whether the later one is the first once more.
fn is_same(first: &NewEvent, later: &NewEvent) -> bool {
    (&first.event, &first.data, &first.tenant) == (&later.event, &later.data, &later.tenant)
        && (later.time_ms.is_none() || later.time_ms == first.time_ms)
}

fn first_conflict(plans: &[Plan]) -> Option<(usize, EventId)> {
    let conflict = |(index, plan): (usize, &Plan)| match plan {
        Plan::Seen(Appended::Conflict(id)) => Some((index, *id)),
        Plan::With(_, false) => Some((index, EventId::NONE)),
        _ => None,
    };
    plans.iter().enumerate().find_map(conflict)
}

fn answer(plan: Plan, ids: &[EventId]) -> Appended {
    let id = |at: usize| ids.get(at).copied().unwrap_or(EventId::NONE);
    match plan {
        Plan::Seen(answer) => answer,
        Plan::New(at) => Appended::New(id(at)),
        Plan::With(at, true) => Appended::Again(id(at)),
        Plan::With(at, false) => Appended::Conflict(id(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: &str, data: &str) -> NewEvent {
        NewEvent {
            event: "e".into(),
            data: data.into(),
            key: Some(key.into()),
            ..NewEvent::default()
        }
    }

    #[test]
    fn a_key_that_is_given_twice_in_a_call_is_added_once() {
        let events = [
            event("a", "1"),
            event("a", "1"),
            event("b", "1"),
            event("a", "2"),
        ];
        let (plans, new) = plan(&events, &HashMap::new());
        assert_eq!(new.len(), 2);
        assert_eq!(first_conflict(&plans), Some((3, EventId::NONE)));
        let ids = [EventId::new(7), EventId::new(8)];
        let answers: Vec<Appended> = plans.iter().map(|plan| answer(*plan, &ids)).collect();
        let (a, b) = (ids[0], ids[1]);
        let expected = [
            Appended::New(a),
            Appended::Again(a),
            Appended::New(b),
            Appended::Conflict(a),
        ];
        assert_eq!(answers, expected);
    }

    #[test]
    fn a_row_is_the_same_to_the_byte_and_by_a_time_that_is_given() {
        let row = Known {
            id: EventId::new(7),
            event: "e".into(),
            data: Some("1".into()),
            time_ms: Some(5),
            tenant: None,
        };
        assert!(row.is_of(&event("a", "1")));
        assert!(!row.is_of(&event("a", "1 ")));
        let at = |time_ms| NewEvent {
            time_ms: Some(time_ms),
            ..event("a", "1")
        };
        assert!(row.is_of(&at(5)) && !row.is_of(&at(6)));
        let other = NewEvent {
            tenant: Some("t".into()),
            ..event("a", "1")
        };
        assert!(!row.is_of(&other));
    }
}
