//! The place where the real file and the real environment are read.
//!
//! Everything else of the module works on text and closures. Reads are bounded, so that a path to
//! something endless ends too. The folder is made absolute once, so that what follows from the
//! configuration does not depend on the working folder, and no path can look like a name that
//! SQLite takes otherwise (`:memory:`, <https://sqlite.org/inmemorydb.html>).

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf, absolute};

use super::diagnostic::{Diagnostic, Report, Severity};
use super::read::{MAX_CONFIG_BYTES, too_large};
use super::{Abridged, Config, Draft, SecretsWanted, Surroundings, draft};

/// Where a configuration is looked for, in this order.
pub(crate) const DEFAULT_FILES: [&str; 2] = ["webhooks.toml", "/etc/webhooksd/webhooks.toml"];

/// The most that is read of a secret or CA file, in bytes: above both their limits.
const MAX_READ_BYTES: usize = 2 * 1_024 * 1_024;

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file was named, and none is where one is looked for.
    Nowhere,
    /// It was read, and this is wrong with it.
    Report(Report),
}

impl LoadError {
    /// What an operator can do.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "name the configuration with --config FILE",
                io::ErrorKind::PermissionDenied => {
                    "run the command as root or as a member of the file's group"
                }
                _ => "name a TOML file with --config FILE",
            }),
            Self::Nowhere => Some("go to the folder that holds it, or name it with --config FILE"),
            Self::Report(_) => None,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "read configuration {:?}", path.display()),
            Self::Nowhere => write!(f, "find configuration: no {}", DEFAULT_FILES.join(", no ")),
            Self::Report(report) => report.fmt(f),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Nowhere | Self::Report(_) => None,
        }
    }
}

impl From<Report> for LoadError {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

/// The configuration that a command takes where none was named.
///
/// # Errors
/// [`LoadError::Nowhere`] where there is none. One that is there but can't be read is taken: the
/// next one would be another configuration than was meant.
pub(crate) fn default_file() -> Result<PathBuf, LoadError> {
    DEFAULT_FILES
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.try_exists().unwrap_or(true))
        .ok_or(LoadError::Nowhere)
}

/// Reads a configuration file with the process's own environment.
///
/// # Errors
/// The file cannot be read, or the report of all that is wrong with it.
pub(crate) fn load(
    path: &Path,
    secrets: SecretsWanted,
    check_ca: &dyn Fn(&[u8]) -> Result<(), String>,
) -> Result<Config, LoadError> {
    Ok(load_draft(path, secrets, check_ca)?.finish()?)
}

/// The same, for who looks further at what the configuration is about.
///
/// # Errors
/// The file cannot be read, or is no TOML.
pub(crate) fn load_draft(
    path: &Path,
    secrets: SecretsWanted,
    check_ca: &dyn Fn(&[u8]) -> Result<(), String>,
) -> Result<Draft, LoadError> {
    Ok(draft_of(path, &text_of(path)?, secrets, check_ca)?)
}

/// What a file of that text would mean with a webhook's lines behind it, and the number of the first of these. Nothing is
/// written. Where it is known how to abridge the text, the other webhooks are not read.
///
/// # Errors
/// All that is wrong, and among it what is wrong with the webhook.
pub(crate) fn with(
    path: &Path,
    (text, abridged): (&str, Option<&Abridged>),
    (name, more): (&str, &str),
    secrets: SecretsWanted,
    check_ca: &dyn Fn(&[u8]) -> Result<(), String>,
) -> (Result<Config, Report>, usize) {
    let behind = format!("\n\n{more}");
    let short = abridged.and_then(|abridged| abridged.with_those_of(name, behind.len()));
    let mut text = short.unwrap_or_else(|| text.to_owned());
    let first = text.matches('\n').count() + 3;
    text.push_str(&behind);
    (meant(path, &text, secrets, check_ca), first)
}

/// The text of a configuration file.
///
/// # Errors
/// It can't be read, or is no text of a configuration's size.
pub(crate) fn text_of(path: &Path) -> Result<String, LoadError> {
    let name = path.display().to_string();
    let bytes = read(path, MAX_CONFIG_BYTES).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > MAX_CONFIG_BYTES {
        return Err(Report::from(too_large(&name)).into());
    }
    let text = String::from_utf8(bytes);
    text.map_err(|error| Report::from(not_utf8(&name, &error)).into())
}

/// What a file means that has that text.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn meant(
    path: &Path,
    text: &str,
    secrets: SecretsWanted,
    check_ca: &dyn Fn(&[u8]) -> Result<(), String>,
) -> Result<Config, Report> {
    draft_of(path, text, secrets, check_ca).and_then(Draft::finish)
}

fn draft_of(
    path: &Path,
    text: &str,
    secrets: SecretsWanted,
    check_ca: &dyn Fn(&[u8]) -> Result<(), String>,
) -> Result<Draft, Report> {
    let name = path.display().to_string();
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let around = Surroundings {
        folder: path.parent().unwrap_or(Path::new("/")),
        credentials: credentials.as_deref(),
        read: &|path| read(path, MAX_READ_BYTES),
        env: &|name| std::env::var_os(name),
        check_ca,
        secrets,
    };
    draft(&name, text, &around)
}

/// Where the socket is by a file that may have errors: for `reload`, which has the daemon say them.
/// `None` where the file can't be read or has no `[socket]`.
#[must_use]
pub(crate) fn socket_path(path: &Path) -> Option<PathBuf> {
    let bytes = read(path, MAX_CONFIG_BYTES).ok()?;
    let named = super::read::socket_path(std::str::from_utf8(&bytes).ok()?)?;
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    Some(path.parent()?.join(named))
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let good = error.utf8_error().valid_up_to();
    let lines = error.as_bytes().iter().take(good).filter(|b| **b == b'\n');
    Diagnostic::of_file(
        name,
        Severity::Error,
        &format!("line {} is not UTF-8", lines.count() + 1),
        "save the file as UTF-8",
    )
}

/// A pipe that lies in a folder would be waited for, perhaps for ever. One that a shell made
/// (`--config <(...)`) has its writer, and no name but in /proc.
fn is_no_named_pipe(path: &Path) -> io::Result<()> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    let named = std::fs::canonicalize(path).is_ok_and(|real| !real.starts_with("/proc"));
    if is_pipe && named {
        let words = "it is a pipe, and no plain file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    Ok(())
}

/// Reads a file, and at most one byte more than `max_bytes`.
fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    is_no_named_pipe(path)?;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_in(folder: &Path, text: &[u8]) -> Result<Config, LoadError> {
        let path = folder.join("webhooks.toml");
        std::fs::write(&path, text).unwrap();
        load(&path, SecretsWanted::Read, &|_| Ok(()))
    }

    #[test]
    fn the_real_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.key"), "hunter2\n").unwrap();
        let text =
            b"[[webhook]]\nname = 'a'\nurl = 'http://h/'\nevents = ['*']\nsecret_file = 'a.key'";
        let config = load_in(folder.path(), text).unwrap();
        let secret = config.webhooks[0].secret.as_ref().unwrap();
        assert_eq!(secret.bytes(), b"hunter2");
        assert_eq!(config.outbox.path, folder.path().join("outbox.db"));
        assert!(!config.outbox.path.exists());
    }

    #[test]
    fn what_is_no_configuration_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(&folder.path().join("no.toml"), SecretsWanted::Read, &|_| {
            Ok(())
        });
        let error = error.unwrap_err();
        assert!(matches!(error, LoadError::Read { .. }) && error.source().is_some());
        assert!(error.hint().unwrap().contains("--config"));
        let error = load(folder.path(), SecretsWanted::Read, &|_| Ok(())).unwrap_err();
        assert!(error.hint().is_some());
        let error = load_in(folder.path(), b"\n\n# \xff")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 3 is not UTF-8"), "{error}");
        let large = vec![b'\n'; MAX_CONFIG_BYTES + 1];
        let error = load_in(folder.path(), &large).unwrap_err().to_string();
        assert!(error.contains("larger than 16 MiB"), "{error}");
    }
}
