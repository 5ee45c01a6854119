//! A disk that loses its power: what a folder may hold afterwards, by the record of shim/powercut.c.
//!
//! A synchronised write is there. Of those that were not, any may be there or not, whole or in part
//! (by sectors of 512 or 4,096 bytes). A file that was made or removed is so for certain once its
//! folder was synchronised, until then perhaps. That is less than what ext4 and XFS promise, and
//! what POSIX leaves open.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::Chance;

/// What was done to a file and not synchronised.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// A file as the disk has it, and what may be on it besides.
#[derive(Clone, Debug, Default)]
struct Image {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Whether its name is on the disk.
    named: bool,
}

/// The folder.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<String, Image>,
    /// Removed, and perhaps there again after a cut.
    removed: BTreeMap<String, Image>,
    /// Writes that were synchronised, and those that were not when the power went.
    pub(super) synchronised: u64,
}

impl Image {
    fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
        if bytes.len() < at + data.len() {
            bytes.resize(at + data.len(), 0);
        }
        bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(at, data) => Self::write(bytes, *at, data),
            Change::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// The bytes that are found after a cut.
    fn found(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let fate = chance.below(6);
        let first = chance.below(self.pending.len() as u64 + 1);
        let sector = [512, 4096][usize::from(chance.below(2) == 0)];
        for (place, change) in (0_u64..).zip(&self.pending) {
            let kept = match fate {
                0 => false,
                1 => true,
                // Those up to some moment; and all but those of some moments.
                2 => place < first,
                3 => chance.below(4) > 0,
                _ => chance.below(2) > 0,
            };
            match change {
                Change::Write(at, data) if fate == 5 => torn(&mut bytes, *at, data, sector, chance),
                change if kept => Self::apply(&mut bytes, change),
                _ => {}
            }
        }
        bytes
    }
}

/// Writes some of the sectors that `data` touches.
fn torn(bytes: &mut Vec<u8>, at: usize, data: &[u8], sector: usize, chance: &mut Chance) {
    let mut from = 0;
    while from < data.len() {
        let until = data.len().min((at + from) / sector * sector + sector - at);
        if chance.below(2) > 0 {
            Image::write(bytes, at + from, &data[from..until]);
        }
        from = until;
    }
}

fn number(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap())).unwrap()
}

impl Disk {
    /// A folder whose databases are all on the disk. Nobody may have them open.
    pub(super) fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !is_database(&name) {
                continue;
            }
            let durable = std::fs::read(&path).unwrap();
            let pending = Vec::new();
            let image = Image {
                durable,
                pending,
                named: true,
            };
            disk.files.insert(name, image);
        }
        disk
    }

    /// Does what was recorded.
    pub(super) fn replay(&mut self, mut record: &[u8]) {
        // The last one may be half there: its call has not returned.
        while let Some((head, rest)) = record.split_at_checked(18) {
            let (operation, first, second) = (head[0], number(&head[2..10]), number(&head[10..18]));
            let data = if operation == b'W' { second } else { 0 };
            let Some((name, rest)) = rest.split_at_checked(usize::from(head[1])) else {
                return;
            };
            let Some((data, rest)) = rest.split_at_checked(data) else {
                return;
            };
            self.one(operation, std::str::from_utf8(name).unwrap(), first, data);
            record = rest;
        }
    }

    fn one(&mut self, operation: u8, name: &str, first: usize, data: &[u8]) {
        match operation {
            b'C' => drop(self.files.insert(name.to_owned(), Image::default())),
            b'U' => {
                // One whose name was never on the disk is gone for good.
                let image = self.files.remove(name).filter(|image| image.named);
                self.removed
                    .extend(image.map(|image| (name.to_owned(), image)));
            }
            b'S' if name == "." => {
                self.removed.clear();
                self.files.values_mut().for_each(|image| image.named = true);
            }
            _ => {
                let Some(image) = self.files.get_mut(name) else {
                    return;
                };
                match operation {
                    b'W' => image.pending.push(Change::Write(first, data.to_vec())),
                    b'T' => image.pending.push(Change::Truncate(first)),
                    b'S' => {
                        let pending = std::mem::take(&mut image.pending);
                        self.synchronised += pending.len() as u64;
                        for change in &pending {
                            Image::apply(&mut image.durable, change);
                        }
                    }
                    other => panic!("no operation: {other}"),
                }
            }
        }
    }

    /// Writes that a cut may take back.
    pub(super) fn unsynchronised(&self) -> usize {
        self.files.values().map(|image| image.pending.len()).sum()
    }

    /// Makes the folder one that may be found after a cut.
    pub(super) fn restore(&self, folder: &Path, chance: &mut Chance) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if is_database(name) || name.ends_with("-shm") {
                std::fs::remove_file(&path).unwrap();
            }
        }
        let write = |name: &str, bytes| std::fs::write(folder.join(name), bytes).unwrap();
        for (name, image) in &self.removed {
            if chance.below(2) == 0 {
                write(name, image.found(chance));
            }
        }
        for (name, image) in &self.files {
            if image.named || chance.below(2) == 0 {
                write(name, image.found(chance));
            }
        }
    }
}

/// Whether shim/powercut.c records the file.
fn is_database(name: &str) -> bool {
    name.contains(".db") && !name.ends_with("-shm") && !name.ends_with(".lock")
}
