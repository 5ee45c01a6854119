//! What people read of trouble with a server: a line that names step and server, and what there is to do.

use std::borrow::Cow;
use std::fmt;

use super::Trouble;
use super::what::{Unaccepted, What};

/// Names of a certificate that a line lists.
const NAMES_SHOWN: usize = 3;

impl Trouble {
    /// What an operator can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        let one = match self.whose {
            "outbox" => "an outbox",
            _ => "a log",
        };
        let hint = self.of_any().or_else(|| match self.whose {
            "log" => self.of_a_log(),
            _ => self.of_an_outbox(),
        })?;
        Some(hint.replace("{whose}", self.whose).replace("{a}", one))
    }

    /// The step that failed, where it is one, and what is said of it beside its cause.
    fn of_a_step(&self) -> Option<(&'static str, Option<Cow<'_, str>>)> {
        let (step, said) = match &self.what {
            What::Silent(step, patience) => {
                let said = format!("no answer in {} s", patience.as_secs());
                return Some((step, Some(said.into())));
            }
            What::Locked(step, None) => (step, "another transaction is in the way"),
            What::Locked(step, Some(holder)) => {
                let said = format!("another transaction is in the way: {holder}");
                return Some((step, Some(said.into())));
            }
            What::Raced(step) => (step, "another transaction changed the same; tried again"),
            What::ReadOnly(step) => (step, "it takes no writes"),
            What::Full(step, _) => (step, "the server's disk is full"),
            What::Rule(step, said) | What::Twice(step, said) => (step, &**said),
            What::Step(step, _) | What::Forbidden(step, _) | What::Ended(step, _) => {
                return Some((step, None));
            }
            _ => return None,
        };
        Some((step, Some(said.into())))
    }

    /// What is the same for both.
    fn of_any(&self) -> Option<&'static str> {
        Some(match &self.what {
            What::Away(_) | What::Silent(..) => {
                "it is waited for; if it should be there, see [{whose}] url and the server's own log"
            }
            What::Crowded(_) => {
                "it is waited for; raise max_connections, or the CONNECTION LIMIT of the user or the database: a node has \
                 five connections, and for moments some more"
            }
            What::Denied(_) => {
                "see the user in [{whose}] url, [{whose}] password_file or PGPASSFILE, which a start reads, and the server's pg_hba.conf"
            }
            What::Tls(_) => {
                "the server has to speak TLS (ssl = on) and to accept ours; ?sslmode=disable in [{whose}] url leaves it out, \
                 and whoever is on the way then reads the events"
            }
            What::Certificate(Unaccepted::Expired(_)) => {
                "give the server a new certificate (ssl_cert_file) and have it reload; where the certificate is right, see \
                 this machine's clock"
            }
            What::Certificate(Unaccepted::NotYet(_)) => {
                "see this machine's clock, and the one that the certificate was made by"
            }
            What::Certificate(Unaccepted::Name(_)) => {
                "the host in [{whose}] url has to be a name of the server's certificate: write that, or have one made for it"
            }
            What::Certificate(Unaccepted::Issuer) => {
                "?sslrootcert=FILE in [{whose}] url names the authority that signed it; without that the system's are trusted"
            }
            What::Certificate(Unaccepted::Other(_)) => {
                "have a certificate made for the host's name in [{whose}] url (ssl_cert_file); ?sslrootcert=FILE names the \
                 authority that signed it"
            }
            What::Keys(_) => "see sslrootcert, sslcert and sslkey in [{whose}] url",
            What::NoDatabase(_) => {
                "correct the database's name in [{whose}] url, or make it: createdb"
            }
            What::Engine(_) => "{a} needs PostgreSQL 15 or newer",
            What::Encoding(_) => "{a} needs a database made with ENCODING 'UTF8'",
            What::Standby => {
                "name the primary in [{whose}] url; several hosts and target_session_attrs=read-write find it"
            }
            What::ReadOnly(_) => {
                "a standby takes no writes: [{whose}] url has to name the primary; else default_transaction_read_only is \
                 on for the server, the database or this user: ALTER ... RESET default_transaction_read_only"
            }
            What::Ended(..) => {
                "where statement_timeout ended it: give the user of [{whose}] url more, ALTER ROLE ... SET \
                 statement_timeout = '60s'; it is tried again"
            }
            What::Elsewhere => {
                "correct [{whose}] url; or say where to begin: `webhooksd start-from now`, `beginning`, an id or a time"
            }
            What::Locked(_, Some(_)) => {
                "it goes on once that has ended: by COMMIT or ROLLBACK there (PREPARED, where it is), or SELECT pg_terminate_backend(its number)"
            }
            What::Locked(_, None) => {
                "a transaction that is open has the same key, or the table for itself: see pg_stat_activity and pg_locks"
            }
            _ => return None,
        })
    }

    fn of_an_outbox(&self) -> Option<&'static str> {
        Some(match &self.what {
            What::NoTable => {
                "put `webhooksd schema outbox --postgres` into the application's migrations, or pipe it to psql; one that is \
                 there is found by this user's search_path, with USAGE on its schema"
            }
            What::NoColumn(_) => {
                "`webhooksd schema outbox --postgres` prints the table that is expected"
            }
            What::NoRight => {
                "as the table's owner: GRANT SELECT, DELETE ON outbox TO the user of [outbox] url"
            }
            What::Restored => {
                "once, with the daemon stopped: UPDATE outbox SET xid = pg_current_xact_id(); then say where to begin by \
                 `webhooksd start-from`, a time or an id"
            }
            What::Forbidden(..) => {
                "as the table's owner: GRANT SELECT, DELETE ON outbox TO the user of [outbox] url; who adds events needs \
                 INSERT too, and USAGE ON SEQUENCE outbox_id"
            }
            What::Full(..) => {
                "free some space on the server; nothing is lost, and work goes on by itself"
            }
            _ => return None,
        })
    }

    fn of_a_log(&self) -> Option<&'static str> {
        Some(match &self.what {
            What::NoLog => {
                "`webhooksd run` makes it when it starts; one that was there is put back from a backup"
            }
            What::NoLogEither => {
                "give [log] url a database whose schema webhooksd is the log's alone; where there is none it is made"
            }
            What::Newer(..) => "run the version that wrote it, or a newer one",
            What::Older(..) => {
                "run `webhooksd migrate` once; nodes of the version before may go on meanwhile"
            }
            What::Forbidden(..) => {
                "the user of [log] url owns the schema webhooksd and all in it, or inherits from the role that does. As the \
                 database's owner: GRANT ALL ON SCHEMA webhooksd TO it, GRANT ALL ON ALL TABLES IN SCHEMA webhooksd TO it, or \
                 REASSIGN OWNED BY the owner TO it"
            }
            What::Lacks(_) => {
                "the user of [log] url owns the schema webhooksd and all in it. As the database's owner, for a new log: \
                 GRANT CREATE ON DATABASE to it, or CREATE SCHEMA webhooksd AUTHORIZATION it; for one that is there: \
                 REASSIGN OWNED BY its owner TO it"
            }
            What::Withheld(_) => {
                "as their owner: GRANT ALL ON ALL TABLES IN SCHEMA webhooksd TO the user of [log] url, and GRANT ALL ON ALL \
                 SEQUENCES IN SCHEMA webhooksd TO it"
            }
            What::NotEmpty => {
                "another log is taken over by an empty one alone: name another database, or, where all that is in it \
                 may go, with every daemon of it stopped: DROP SCHEMA webhooksd CASCADE"
            }
            What::Full(..) => {
                "free some space on the server; nothing is lost, and work goes on by itself. [log] keep_days, bodies and \
                 max_size bound what it keeps; a large log wants a server of its own"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, server) = (self.whose, &self.server);
        if let Some((step, said)) = self.of_a_step() {
            write!(f, "{step} of {whose} {server:?}")?;
            return said.map_or(Ok(()), |said| write!(f, ": {said}"));
        }
        match &self.what {
            What::Away(_) => write!(f, "the server of {whose} {server:?} is away"),
            What::Crowded(_) => {
                write!(
                    f,
                    "the server of {whose} {server:?} has no connection to give"
                )
            }
            What::Denied(_) => write!(f, "connect to {whose} {server:?}"),
            What::Tls(_) | What::Certificate(_) => {
                write!(f, "secure the connection to {whose} {server:?}")
            }
            What::Keys(why) => write!(f, "secure the connection to {whose} {server:?}: {why}"),
            What::NoDatabase(_) => write!(f, "open {whose} {server:?}"),
            What::Engine(said) => write!(f, "{whose} {server:?} is on {said}"),
            What::Encoding(what) => {
                write!(f, "the database of {whose} {server:?} is encoded as {what}")
            }
            What::Standby => write!(f, "the server of {whose} {server:?} is a standby"),
            What::NoTable => write!(f, "{whose} {server:?} has no table \"outbox\""),
            What::NoColumn(column) => {
                write!(
                    f,
                    "the table of {whose} {server:?} has no column {column:?}"
                )
            }
            What::NoRight => write!(f, "this user may not read the table of {whose} {server:?}"),
            What::Exchanged => write!(f, "another server took over {whose} {server:?}"),
            What::Unknown => write!(
                f,
                "{whose} {server:?} does not know this node any more, or not as it was: it begins anew"
            ),
            What::Elsewhere => write!(
                f,
                "{whose} {server:?} is not in the database that the log followed"
            ),
            What::Restored => write!(
                f,
                "{whose} {server:?} has rows of another server's transactions: a dump was put back"
            ),
            What::NoLog => write!(f, "there is no log in {server:?}"),
            What::NoLogEither => write!(f, "the schema webhooksd of {server:?} is no log"),
            What::Newer(version, known) => write!(
                f,
                "the log in {server:?} is of version {version}, and this webhooksd knows none above {known}"
            ),
            What::Older(version, needed) => write!(
                f,
                "the log in {server:?} is of version {version}, and this webhooksd writes none below {needed}"
            ),
            What::NotEmpty => write!(f, "{whose} {server:?} is not empty"),
            What::Withheld(rights) => write!(f, "this user lacks {rights} in {whose} {server:?}"),
            What::Lacks(right) => write!(f, "this user may not {right} of {whose} {server:?}"),
            // What is of a step was said above.
            _ => write!(f, "make a connection to {whose} {server:?}"),
        }
    }
}

impl fmt::Display for Unaccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's certificate ")?;
        match self {
            Self::Expired(None) => f.write_str("has expired"),
            Self::Expired(Some(seconds)) => write!(f, "expired {} ago", time(*seconds)),
            Self::NotYet(None) => f.write_str("is not valid yet"),
            Self::NotYet(Some(seconds)) => {
                write!(f, "is not valid yet: it will be in {}", time(*seconds))
            }
            Self::Name(names) if names.is_empty() => {
                f.write_str("is of no name at all (a common name does not count)")
            }
            Self::Name(names) => {
                let shown: Vec<&str> = names
                    .iter()
                    .take(NAMES_SHOWN)
                    .map(|name| bare(name))
                    .collect();
                let more = if names.len() > NAMES_SHOWN {
                    ", …"
                } else {
                    ""
                };
                write!(f, "is of other names: {}{more}", shown.join(", "))
            }
            Self::Issuer => f.write_str("is signed by nobody that is trusted here"),
            Self::Other(why) => write!(f, "is not accepted: {why}"),
        }
    }
}

impl std::error::Error for Unaccepted {}

/// A time in its largest unit.
fn time(seconds: u64) -> String {
    let (count, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7_200.. => (seconds / 3_600, "hours"),
        120.. => (seconds / 60, "minutes"),
        _ => (seconds, "s"),
    };
    format!("{count} {unit}")
}

/// A name without what the TLS library says of its kind: `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    let inside = name.strip_suffix(')').and_then(|rest| rest.split_once('('));
    inside.map_or(name, |(_kind, name)| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_is_is_told_in_words() {
        let said = |why: Unaccepted| why.to_string();
        assert_eq!(
            said(Unaccepted::Expired(Some(90_000))),
            "the server's certificate expired 25 hours ago"
        );
        assert_eq!(
            said(Unaccepted::NotYet(Some(864_000))),
            "the server's certificate is not valid yet: it will be in 10 days"
        );
        let names = ["DnsName(\"a.example\")", "IpAddress(127.0.0.1)", "c", "d"];
        assert_eq!(
            said(Unaccepted::Name(names.map(str::to_owned).to_vec())),
            "the server's certificate is of other names: a.example, 127.0.0.1, c, …"
        );
    }
}
