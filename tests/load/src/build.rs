//! A build of webhooksd under measurement: one binary, and what the head of a report says of it.
//!
//! A run has one, or two that are compared. Every row measures whichever it is handed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::said;

#[derive(Clone, Debug)]
pub(crate) struct Build {
    /// Which of two it is; empty where there is one.
    pub(crate) label: &'static str,
    pub(crate) path: PathBuf,
}

impl Build {
    pub(crate) fn given(label: &'static str, path: &Path) -> Result<Self, String> {
        let path = path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { label, path })
    }

    /// Builds the product's release binary, as a user would.
    pub(crate) fn from_source(label: &'static str, root: &Path) -> Result<Self, String> {
        let status = Command::new("cargo")
            .args([
                "build",
                "--release",
                "--locked",
                "--bin",
                "webhooksd",
                "--manifest-path",
            ])
            .arg(root.join("Cargo.toml"))
            .status()
            .map_err(|error| format!("run cargo: {error}"))?;
        if !status.success() {
            return Err("the release build failed".into());
        }
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Self::given(label, &target.join("release/webhooksd"))
    }

    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Its version and its size, in one line.
    pub(crate) fn describe(&self) -> String {
        let version = said(&self.path.display().to_string(), &["--version"]);
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let loaded = loaded_bytes(&bytes).map_or(String::new(), |loaded| {
            format!(", of which {loaded} are loaded (the rest is for debuggers)")
        });
        let label = if self.label.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.label)
        };
        format!("{label}{version}, {} bytes{loaded}", bytes.len())
    }
}

/// What of an ELF64 file is loaded when it runs: the sum of its PT_LOAD segments.
/// The size of the file alone says mostly how much debugging information a profile asks for.
fn loaded_bytes(elf: &[u8]) -> Option<u64> {
    const PT_LOAD: u64 = 1;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, bytes: usize| {
        let mut whole = [0; 8];
        whole[..bytes].copy_from_slice(elf.get(at..at + bytes)?);
        Some(u64::from_le_bytes(whole))
    };
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut sum = 0;
    for entry in 0..count {
        let at = usize::try_from(table + entry * size).ok()?;
        if number(at, 4)? == PT_LOAD {
            sum += number(at + 0x20, 8)?;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::loaded_bytes;

    #[test]
    fn what_is_loaded_is_less_than_the_file_and_most_of_none() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let loaded = loaded_bytes(&own).expect("this test is an ELF64 file");
        assert!(loaded > 100_000 && loaded < own.len() as u64, "{loaded}");
        assert_eq!(
            loaded_bytes(b"#!/bin/sh\nexec true, and a few bytes more"),
            None
        );
    }
}
