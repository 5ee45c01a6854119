//! The configuration's file as it is on disk, which may be another than the one in force.
//!
//! Ten thousand webhooks take 35 ms to read, and a person who tries rules out looks at them again and again. So what was
//! read last is kept for as long as the file has the same bytes: its time and size may stay where it was edited twice
//! within a moment. No other file decides what is read here, for secrets and certificates are left out. One file is
//! kept, on a thread of its own it is read, for glibc keeps for each thread what that once took.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{self, Config, LoadError, Report, SecretsWanted};
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
}

impl OnDisk {
    /// What the file means, without secrets.
    ///
    /// # Errors
    /// It can't be read, or has errors.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<Config>, String> {
        let text = config::text_of(path).map_err(|error| chain(&error))?;
        // One reads it, and those who come meanwhile have it too.
        let mut kept = self.0.lock();
        let same = kept.take_if(|kept| kept.path != path || kept.text != text);
        // Let go of before it is read anew, so that there are never two.
        drop(same);
        let kept = kept.get_or_insert_with(|| Kept {
            read: aside(|| config::meant(path, &text, SecretsWanted::Skip, &transport::check_ca))
                .map(Arc::new)
                .map_err(|report| chain(&LoadError::from(report))),
            path: path.to_owned(),
            text,
        });
        kept.read.clone()
    }
}

/// What the file would mean with some lines behind it, without secrets; and the number of the first of these.
///
/// # Errors
/// It can't be read.
pub(super) fn with(path: &Path, more: &str) -> Result<(Result<Config, Report>, usize), String> {
    let read = aside(|| config::with(path, more, SecretsWanted::Skip, &transport::check_ca));
    read.map_err(|error| chain(&error))
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
