//! What every row needs: the builds, the receiver, folders on disk. Raw figures are kept.
//!
//! How a daemon is measured is in `measure`.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::arguments::Options;
use crate::build::Build;
use crate::certificate::{self, Files};
use crate::process::write_back;
use crate::receiver::Receiver;

/// `f_type` of tmpfs and ramfs: a disk that costs nothing would make figures that mean nothing.
const MEMORY_FILE_SYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// The folder of a row's own files, beside the numbered ones.
const COMMON: &str = "common";

pub(crate) struct Bench {
    pub(crate) options: Options,
    /// The one that is measured and, with `--against`, the one that it is compared with.
    pub(crate) builds: Vec<Build>,
    pub(crate) receiver: Receiver,
    pub(crate) files: Files,
    /// Of the build whose turn it is; notes begin with it.
    pub(crate) label: &'static str,
    folder: TempDir,
    folders: u32,
    raw: Vec<String>,
}

impl Bench {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let home = options
            .folder
            .clone()
            .unwrap_or_else(|| root.join("target"));
        std::fs::create_dir_all(&home)
            .map_err(|error| format!("make {}: {error}", home.display()))?;
        let kind = rustix::fs::statfs(&home)
            .map_err(|error| error.to_string())?
            .f_type;
        if MEMORY_FILE_SYSTEMS.contains(&kind) {
            return Err(format!(
                "{} is in memory; give a --folder on a disk",
                home.display()
            ));
        }
        let builds = builds(options, root)?;
        let folder = tempfile::Builder::new().prefix("load-").tempdir_in(&home);
        let folder = folder.map_err(|error| error.to_string())?;
        let files = certificate::make(folder.path());
        let receiver = Receiver::start(&files);
        Ok(Self {
            options: options.clone(),
            builds,
            receiver,
            files,
            label: "",
            folder,
            folders: 0,
            raw: Vec::new(),
        })
    }

    /// `full`, or `quick` where that was asked for.
    pub(crate) fn count(&self, full: u64, quick: u64) -> u64 {
        if self.options.quick { quick } else { full }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.receiver.port)
    }

    /// Of the endpoint that notes when which event came.
    pub(crate) fn timed_url(&self) -> String {
        format!("http://127.0.0.1:{}/timed", self.receiver.timed_port)
    }

    /// The same as `url` on another address of loopback.
    pub(crate) fn url_on(&self, address: usize, path: &str) -> String {
        format!(
            "http://127.0.0.{}:{}/{path}",
            address + 1,
            self.receiver.port
        )
    }

    pub(crate) fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.receiver.tls_port)
    }

    /// An empty folder.
    pub(crate) fn fresh(&mut self) -> PathBuf {
        self.folders += 1;
        let folder = self.folder.path().join(self.folders.to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    /// The disk that everything is on.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path().parent().expect("a folder in another")
    }

    /// The folder for what a row's rounds and builds have in common.
    pub(crate) fn common(&self) -> PathBuf {
        let folder = self.folder.path().join(COMMON);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Deletes a row's files.
    /// What they left to be written is written now, or the next row would be measured with it.
    pub(crate) fn end_row(&mut self) {
        let numbered = (1..=self.folders).map(|number| number.to_string());
        for name in numbered.chain([COMMON.to_owned()]) {
            std::fs::remove_dir_all(self.folder.path().join(name)).ok();
        }
        write_back();
    }

    /// Keeps a raw figure.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = match self.label {
            "" => text.into(),
            label => format!("{label}: {}", text.into()),
        };
        eprintln!("  . {text}");
        self.raw.push(text);
    }

    pub(crate) fn take_raw(&mut self) -> Vec<String> {
        std::mem::take(&mut self.raw)
    }
}

fn builds(options: &Options, root: &Path) -> Result<Vec<Build>, String> {
    let label = options.against.as_ref().map_or("", |_| "this");
    let mut builds = vec![match &options.binary {
        Some(path) => Build::given(label, path)?,
        None => Build::from_source(label, &root.join("../.."))?,
    }];
    if let Some(path) = &options.against {
        builds.push(Build::given("other", path)?);
    }
    Ok(builds)
}
