//! `webhooksd start-from`: a person decides where a log begins in an outbox that is older.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Ended, Failure, say, when};
use crate::config::{self, Config, SecretsWanted};
use crate::daemon::{Lock, make_own_outbox};
use crate::model::{Clock, Cursor, EventId, Generation, LogPlace, Server, Snapshot};
use crate::outbox::{Tail, postgres};
use crate::pipeline::cursor_at;
use crate::store::{self, LogWriter};
use crate::transport;

/// Sets where the daemon begins in the outbox
///
/// For a log that is new beside an outbox that is not, and for an outbox that is not the one that
/// the log followed: `run` refuses there until it was decided. The daemon must not be running.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd start-from beginning                every event of the outbox is sent
  webhooksd start-from now                      only events that come after this
  webhooksd start-from 1024                     event 1024 is the first
  webhooksd start-from 2026-03-01T00:00:00Z     the first event of that time or later is the first")]
pub(super) struct Arguments {
    /// `beginning`, `now`, an outbox id, or a time (ISO 8601, UTC where no offset is given)
    #[arg(value_name = "WHERE", value_parser = parse)]
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Beginning,
    Now,
    Id(EventId),
    Time(i64),
}

fn parse(text: &str) -> Result<Place, String> {
    if let Ok(id) = text.parse::<i64>() {
        return if id > 0 {
            Ok(Place::Id(EventId::new(id)))
        } else {
            Err("ids begin at 1".into())
        };
    }
    match text {
        "beginning" => Ok(Place::Beginning),
        "now" => Ok(Place::Now),
        _ => when::parse_time_ms(text).map(Place::Time).ok_or_else(|| {
            "say `beginning`, `now`, an id, or a time such as 2026-03-01T12:00:00Z".into()
        }),
    }
}

pub(super) fn start_from(path: &Path, arguments: &Arguments) -> Ended {
    let config = config::load(path, SecretsWanted::Skip, &transport::check_ca)
        .map_err(crate::daemon::Error::Config)?;
    let clock = Clock::system();
    let _lock = config.log.place.file().map(Lock::take).transpose()?;
    if let Some(server) = &config.outbox.server {
        return in_server(&config, server, arguments.place);
    }
    make_own_outbox(&config)?;
    let mut tail = Tail::open(&config.outbox.path, config.outbox.max_data_bytes)?;
    let last = tail.sequence()?;
    let after = match arguments.place {
        Place::Beginning => EventId::NONE,
        Place::Now => last,
        Place::Id(id) if id > last.next() => {
            let text = format!("the outbox ends at id {last}: it can't begin at {id}");
            return Err(Failure::text(text).code(2));
        }
        Place::Id(id) => id.back(1),
        Place::Time(ms) => tail.first_at_or_after(ms)?.map_or(last, |id| id.back(1)),
    };
    let mut store = store::write_log(&config.log.place, "start-from", clock.now_ms())?;
    let generation = store
        .cursor()?
        .map_or(Generation::FIRST, |known| known.generation.next());
    let cursor = cursor_at(&mut tail, after, generation, clock.now_ms())?;
    store.set_cursor(&cursor, clock.now_ms())?;
    store.flush(clock.now_ms())?;
    leave(&config.log.place, &*store)?;
    let waiting = tail.waiting(after)?.count;
    say(format!(
        "the daemon will begin after event {after}: {waiting} events are waiting"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// In a log that nodes share it was one of them: nobody is to wait for its next sign of life.
fn leave(log: &LogPlace, store: &dyn LogWriter) -> Result<(), store::Error> {
    match (log, store.me()) {
        (LogPlace::Server(server), Some(me)) => store::roster(server).leave(&me.id()),
        _ => Ok(()),
    }
}

/// The same of an outbox in PostgreSQL, where an id stands for the time at which it was given.
fn in_server(config: &Config, server: &Arc<Server>, place: Place) -> Ended {
    let now_ms = Clock::system().now_ms();
    let mut tail = postgres::Tail::open(server, config.outbox.max_data_bytes)?;
    let since = match place {
        Place::Beginning | Place::Now => EventId::NONE,
        Place::Id(id) => id,
        Place::Time(ms) => postgres::first_id_of(ms),
    };
    let snapshot = match place {
        Place::Now => {
            let now = tail.now()?;
            tail.place(now, since)
        }
        _ => tail.place(Snapshot::NOTHING, since),
    };
    let mut store = store::write_log(&config.log.place, "start-from", now_ms)?;
    let generation = store
        .cursor()?
        .map_or(Generation::FIRST, |known| known.generation.next());
    let cursor = Cursor {
        generation,
        event_id: since.back(1).max(EventId::NONE),
        time_ms: now_ms,
        snapshot: Some(Box::new(snapshot)),
        ..Cursor::default()
    };
    store.set_cursor(&cursor, now_ms)?;
    store.flush(now_ms)?;
    leave(&config.log.place, &*store)?;
    say(match place {
        Place::Now => "the daemon will begin with what is committed from now on".to_owned(),
        Place::Beginning => "the daemon will begin with the oldest event".to_owned(),
        Place::Id(_) | Place::Time(_) => format!("the daemon will begin with event {since}"),
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(parse("beginning"), Ok(Place::Beginning));
        assert_eq!(parse("now"), Ok(Place::Now));
        assert_eq!(parse("17"), Ok(Place::Id(EventId::new(17))));
        for text in [
            "1970-01-02",
            "1970-01-02T00:00:00",
            "1970-01-02T01:00:00+01:00",
        ] {
            assert_eq!(parse(text), Ok(Place::Time(86_400_000)), "{text}");
        }
        for bad in ["0", "-3", "yesterday", "2026-13-01", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
