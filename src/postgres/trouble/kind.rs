//! What an error means: by the code that a server gives, or by where the connection ended.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError;
use tokio_postgres::error::SqlState;

use super::What;
use crate::model::chain;

/// What the server or the client says, on one line and without a server's details: these repeat rows.
#[derive(Debug)]
pub(crate) struct Cause(String);

impl Cause {
    fn of(error: &tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self(chain(error));
        };
        let mut text = said.message().to_owned();
        // What hangs on a table is no row.
        if let (Some("2B"), Some(detail)) = (said.code().code().get(..2), said.detail()) {
            text = format!("{text}: {}", detail.replace('\n', "; "));
        }
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// Why a server's certificate is not accepted.
#[derive(Debug)]
pub(crate) enum Unaccepted {
    /// Its time is over, so many seconds ago.
    Expired(Option<u64>),
    /// Its time begins in so many seconds.
    NotYet(Option<u64>),
    /// It is of other names than the host's; these.
    Name(Vec<String>),
    /// Nobody that is trusted has signed it.
    Issuer,
    /// Anything else.
    Other(String),
}

impl Unaccepted {
    fn of(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::Expired => Self::Expired(None),
            E::ExpiredContext { time, not_after } => {
                Self::Expired(Some(time.as_secs().saturating_sub(not_after.as_secs())))
            }
            E::NotValidYet => Self::NotYet(None),
            E::NotValidYetContext { time, not_before } => {
                Self::NotYet(Some(not_before.as_secs().saturating_sub(time.as_secs())))
            }
            E::NotValidForName => Self::Name(Vec::new()),
            E::NotValidForNameContext { presented, .. } => Self::Name(presented.clone()),
            // Of another authority of the same name.
            E::UnknownIssuer | E::BadSignature => Self::Issuer,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What a failure to connect means.
pub(super) fn of_connecting(error: tokio_postgres::Error) -> What {
    if let Some(why) = certificate(&error) {
        return What::Certificate(Unaccepted::of(&why));
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
        code if *code == SqlState::LOCK_NOT_AVAILABLE => What::Locked(step),
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

/// Why the certificate is not accepted, where it is that.
fn certificate(error: &tokio_postgres::Error) -> Option<CertificateError> {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        // An io::Error gives its own as its source's source.
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(|io| io.get_ref())
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(why)) =
            inner.or_else(|| cause.downcast_ref::<rustls::Error>())
        {
            return Some(why.clone());
        }
        source = cause.source();
    }
    None
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
