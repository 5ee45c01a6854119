//! What an error means: by the code that a server gives, or by where the connection ended.

use std::error::Error;
use std::io;

use tokio_postgres::error::SqlState;

use super::what::{Cause, What};
use crate::postgres::tls;

/// What a failure to connect means.
pub(super) fn of_connecting(error: tokio_postgres::Error) -> What {
    if let Some(why) = tls::unaccepted(&error) {
        return What::Certificate(why);
    }
    let (cause, code) = (Cause::of(&error), error.code());
    match code {
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => What::Crowded(cause),
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => What::NoDatabase(cause),
        // Also one that takes no connections just now, or has no memory for them.
        Some(code) if is_away(code) || matches!(class(code), "53" | "55" | "58") => {
            What::Away(cause)
        }
        Some(_) => What::Denied(cause),
        None if is_tls(&error) => What::Tls(cause),
        // A password is asked for and there is none, or SCRAM was not what was said.
        None if error.to_string().starts_with("invalid configuration")
            || error.to_string().starts_with("authentication error") =>
        {
            What::Denied(cause)
        }
        None => What::Away(cause),
    }
}

/// What a failed statement means.
pub(super) fn of_step(
    step: &'static str,
    error: tokio_postgres::Error,
    whose: &'static str,
) -> What {
    let cause = Cause::of(&error);
    let Some(code) = error.code() else {
        return What::Away(cause);
    };
    let said = || error.as_db_error().map(|error| error.message().to_owned());
    match code {
        code if *code == SqlState::LOCK_NOT_AVAILABLE => What::Locked(step, None),
        code if class(code) == "40" => What::Raced(step),
        code if *code == SqlState::DISK_FULL => What::Full(step, cause),
        code if *code == SqlState::QUERY_CANCELED => What::Ended(step, cause),
        code if is_away(code) => What::Away(cause),
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => What::ReadOnly(step),
        code if *code == SqlState::UNDEFINED_TABLE && whose == "log" => What::NoLog,
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => What::Forbidden(step, cause),
        code if *code == SqlState::UNIQUE_VIOLATION => {
            What::Twice(step, said().unwrap_or_default())
        }
        code if matches!(class(code), "22" | "23") => What::Rule(step, said().unwrap_or_default()),
        code if *code == SqlState::UNDEFINED_TABLE => What::NoTable,
        _ => What::Step(step, cause),
    }
}

/// The first two letters of a code.
fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

/// A connection that is lost, a server that starts or stops, or one that was told to let go of us; also one that
/// ended the session of a transaction that stood still (25P03) or took too long (25P04).
fn is_away(code: &SqlState) -> bool {
    matches!(class(code), "08" | "57") || matches!(code.code(), "25P03" | "25P04")
}

/// Whether the other side's lack of TLS is what is wrong, and not the network.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    let mut lost = false;
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            lost = io.kind() != io::ErrorKind::InvalidData;
        }
        source = cause.source();
    }
    error
        .to_string()
        .starts_with("error performing TLS handshake")
        && !lost
}
