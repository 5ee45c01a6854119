//! The configuration's file as it is on disk, which may be another than the one in force.
//!
//! Ten thousand webhooks take 35 ms to read, and a person who tries rules out looks at them again and again. So what was
//! read last is kept for as long as the file has the same bytes: its time and size may stay where it was edited twice
//! within a moment. No other file decides what is read here, for secrets and certificates are left out. One file is
//! kept, on a thread of its own it is read, for glibc keeps for each thread what that once took. A webhook that is to be
//! is judged behind a text without the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::config::{self, Abridged, Config, LoadError, Report, SecretsWanted};
use crate::model::chain;
use crate::transport;

/// The file that was read last.
#[derive(Default)]
pub(super) struct OnDisk(Mutex<Option<Kept>>);

struct Kept {
    path: PathBuf,
    text: String,
    /// What it means, or its errors.
    read: Result<Arc<Config>, String>,
    /// How it is abridged, where it has no errors and that was asked for.
    abridged: Option<Option<Abridged>>,
}

impl OnDisk {
    /// What the file means, without secrets.
    ///
    /// # Errors
    /// It can't be read, or has errors.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<Config>, String> {
        self.kept(path)?.read.clone()
    }

    /// What the file would mean with a webhook of that name behind it, without secrets; and the number of the first of its
    /// lines.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn with(
        &self,
        path: &Path,
        webhook: (&str, &str),
    ) -> Result<(Result<Config, Report>, usize), String> {
        let mut kept = self.kept(path)?;
        let Kept {
            text,
            read,
            abridged,
            ..
        } = &mut *kept;
        let of_text = || aside(|| read.as_ref().ok().and_then(|_| Abridged::of(text)));
        let abridged = abridged.get_or_insert_with(of_text).as_ref();
        let (secrets, check_ca) = (SecretsWanted::Skip, &transport::check_ca);
        let with = || config::with(path, (text, abridged), webhook, secrets, check_ca);
        Ok(match abridged {
            Some(_) => with(),
            None => aside(with),
        })
    }

    /// The file as it is, read where it is another than before. One reads it, and those who come meanwhile have it too.
    fn kept(&self, path: &Path) -> Result<MappedMutexGuard<'_, Kept>, String> {
        let text = config::text_of(path).map_err(|error| chain(&error))?;
        let mut kept = self.0.lock();
        let other = kept.take_if(|kept| kept.path != path || kept.text != text);
        // Let go of before it is read anew, so that there are never two.
        drop(other);
        Ok(MutexGuard::map(kept, |kept| {
            kept.get_or_insert_with(|| Kept {
                read: aside(|| {
                    config::meant(path, &text, SecretsWanted::Skip, &transport::check_ca)
                })
                .map(Arc::new)
                .map_err(|report| chain(&LoadError::from(report))),
                path: path.to_owned(),
                text,
                abridged: None,
            })
        }))
    }
}

/// Does it on a thread that ends with it.
fn aside<T: Send>(read: impl FnOnce() -> T + Send) -> T {
    let joined = std::thread::scope(|scope| scope.spawn(read).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_behind_an_abridged_text_means_what_it_means_behind_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.toml");
        let text = "tenant = 'acme'\n[[webhook]]\nname = 'a'\nurl = 'http://h/'\nevents = ['e']\n\
                    [delivery]\nmax_in_flight = 8\nproxy = 'http://p:1'\n\
                    [[webhook]]\nname = 'b'\nurl = 'http://h/'\nevents = []\n\
                    [[webhook]]\nname = 'c'\nurl = 'http://h/'\nevents = ['e']\nwhere = []\n";
        let right = text.replace("events = []", "events = ['e']");
        for (text, is_short) in [(&*right, true), (text, false)] {
            std::fs::write(&path, text).unwrap();
            let disk = OnDisk::default();
            for (name, more) in [
                (
                    "d",
                    "url = 'http://h/'\nevents = ['e']\ndialect = 'openboxes-lift'",
                ),
                ("a", "url = 'http://h/'\nevents = ['e']\nmax_in_flight = 9"),
                ("c", "url = 'ftp://h/'\nsecret_file = 'gone'\nx = 1"),
                (
                    "d",
                    "url = 'http://h/'\nevents = ['e']\nwhere = []\n[log]\nkeep_days = -1",
                ),
                ("d\nx", "= ["),
            ] {
                let stanza = format!("[[webhook]]\nname = '{name}'\n{more}\n");
                let whole = format!("{text}\n\n{stanza}");
                let whole = config::meant(&path, &whole, SecretsWanted::Skip, &|_| Ok(()));
                let (found, first) = disk.with(&path, (name, &stanza)).unwrap();
                assert_eq!(first, text.matches('\n').count() + 3);
                let own = |told: &Result<Config, Report>| {
                    let all = match told {
                        Ok(config) => &config.warnings,
                        Err(report) => &report.diagnostics,
                    };
                    let own = all
                        .iter()
                        .filter(|one| one.place.is_some_and(|at| at.0 >= first));
                    own.map(ToString::to_string).collect::<Vec<_>>()
                };
                assert_eq!(own(&found), own(&whole), "{stanza}");
                assert_eq!(found.is_ok(), whole.is_ok(), "{stanza}");
                let last = |config: Config| config.webhooks.last().cloned();
                assert_eq!(found.ok().and_then(last), whole.ok().and_then(last));
            }
            let kept = disk.0.lock();
            let abridged = kept.as_ref().and_then(|kept| kept.abridged.as_ref());
            assert_eq!(abridged.is_some_and(Option::is_some), is_short);
        }
    }

    #[test]
    fn what_has_the_same_bytes_is_read_once_and_any_edit_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.toml");
        let disk = OnDisk::default();
        let write = |event: &str| {
            let text = format!(
                "[[webhook]]\nname = 'a'\nurl = 'http://h/'\nevents = ['{event}']\nsecret_file = 'gone'"
            );
            std::fs::write(&path, text).unwrap();
        };
        let read = || {
            disk.read(&path)
                .unwrap_or_else(|_| panic!("no configuration"))
        };
        write("e");
        let (first, modified) = (
            read(),
            std::fs::metadata(&path).unwrap().modified().unwrap(),
        );
        assert!(Arc::ptr_eq(&first, &read()), "it is not read again");
        write("f");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(read().webhooks[0].events[0].text(), "f");
        write("f'");
        for _ in 0..2 {
            let error = disk.read(&path).err();
            assert!(matches!(error, Some(words) if words.contains("this is not TOML")));
        }
        write("e");
        assert_eq!(*read(), *first);
        std::fs::remove_file(&path).unwrap();
        assert!(
            disk.read(&path).is_err(),
            "what was read before is not what is there"
        );
    }
}
