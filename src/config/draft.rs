//! A configuration whose text was read and that may still be found wanting by what lies outside of it:
//! a group that is not there, a port that is taken, a database of another program.
//!
//! What the text itself has against it is noted already. Whoever looks at the machine adds to that, by
//! the key that it is about, so that all of it is one report with lines and columns. Deliberately
//! absent: every look at the machine.

use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::diagnose::diagnose;
use super::diagnostic::{Diagnostic, Findings, Report, Severity};
use super::source::Source;
use super::{Config, Socket, sections};

/// A key that what lies outside of the file may contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// None: the file as a whole.
    File,
    /// `[outbox] path`.
    Outbox,
    /// `[log] path`.
    Log,
    /// `[socket] path`.
    SocketPath,
    /// `[socket] mode`.
    SocketMode,
    /// `[socket] group`.
    SocketGroup,
    /// `[metrics] listen`.
    Metrics,
    /// `[page] listen`.
    Page,
    /// `url` of the webhook at that place of [`Config::webhooks`].
    Url(usize),
    /// `ca_file` of the same.
    CaFile(usize),
    /// `client_cert_file` of the same.
    ClientCert(usize),
    /// `client_key_file` of the same.
    ClientSecret(usize),
}

/// Where the keys stand; `None`: the key is left out. A key whose value is wrong is not here.
pub(super) type Places = Vec<(Key, Option<Range<usize>>)>;

/// Where some keys of a webhook stand.
#[derive(Debug)]
pub(super) struct WebhookPlaces {
    pub(super) url: Range<usize>,
    pub(super) ca_file: Option<Range<usize>>,
    /// The client certificate, and its key.
    pub(super) client: [Option<Range<usize>>; 2],
}

/// What was read, with all that is known against it so far.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) file_name: String,
    pub(super) text: String,
    pub(super) config: Config,
    pub(super) found: Findings,
    pub(super) places: Places,
    pub(super) webhooks: Vec<WebhookPlaces>,
}

impl Draft {
    /// As much of the configuration as is right by itself: webhooks that are not right are left out, and
    /// of a section what is not right has its default.
    #[must_use]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the key's value, or its default, is one that can be looked into.
    #[must_use]
    pub(crate) fn is_sound(&self, key: Key) -> bool {
        self.places.iter().any(|(known, _)| *known == key)
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, key: Key, message: impl Into<String>, fix: impl Into<String>) {
        self.note(Severity::Error, key, message.into(), fix.into());
    }

    /// Notes a warning.
    pub(crate) fn warning(&mut self, key: Key, message: impl Into<String>, fix: impl Into<String>) {
        self.note(Severity::Warning, key, message.into(), fix.into());
    }

    fn note(&mut self, severity: Severity, key: Key, message: String, fix: String) {
        let at = match key {
            Key::Url(place) => self.of_webhook(place, |_| None),
            Key::CaFile(place) => self.of_webhook(place, |at| at.ca_file.clone()),
            Key::ClientCert(place) => self.of_webhook(place, |at| at.client[0].clone()),
            Key::ClientSecret(place) => self.of_webhook(place, |at| at.client[1].clone()),
            key => {
                let known = self.places.iter().find(|(known, _)| *known == key);
                known.and_then(|(_, at)| at.clone())
            }
        };
        self.found.note(severity, at, message, fix);
    }

    /// The place of a webhook's key, or of its URL.
    fn of_webhook(
        &self,
        place: usize,
        key: impl Fn(&WebhookPlaces) -> Option<Range<usize>>,
    ) -> Option<Range<usize>> {
        let at = self.webhooks.get(place)?;
        Some(key(at).unwrap_or_else(|| at.url.clone()))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The socket is somewhere else than the file says.
    pub(crate) fn move_socket(&mut self, path: &Path) {
        let socket = self.config.socket.get_or_insert_with(Socket::default);
        path.clone_into(&mut socket.path);
    }

    /// All that is wrong, warnings included, where one of it is an error.
    pub(crate) fn finish(self) -> Result<Config, Report> {
        let failed = self.found.has_errors();
        let (list, more) = self.found.finish();
        if list.is_empty() {
            return Ok(self.config);
        }
        let source = Source::new(&self.text);
        // Parsed once more, which it was already: only what is wrong asks what a line may show.
        let (root, _errors) = DeTable::parse_recoverable(&self.text);
        let mut diagnostics = diagnose(&self.file_name, &source, root.get_ref(), list);
        if failed {
            return Err(Report { diagnostics, more });
        }
        if more > 0 {
            let message = format!("there are {more} more warnings");
            let fix = "see to those that are told first";
            let rest = Diagnostic::of_file(&self.file_name, Severity::Warning, &message, fix);
            diagnostics.push(rest);
        }
        Ok(Config {
            warnings: diagnostics,
            ..self.config
        })
    }
}

/// The keys of the sections' files, as `Sections` names them.
pub(super) fn places_of(paths: &sections::Paths) -> Places {
    let key = |whose: &str| match whose {
        "outbox" => Key::Outbox,
        "log" => Key::Log,
        _ => Key::SocketPath,
    };
    // The place of a section that is left out is the file's beginning.
    let place = |at: &Range<usize>| (at.end > 0).then(|| at.clone());
    let paths = paths.iter();
    let places = paths.map(|(whose, given)| (key(whose), place(&given.at)));
    places.chain([(Key::File, None)]).collect()
}
