//! Where a server of the tests has its files: elsewhere, for a test that takes the room there away.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::postgres::{Postgres, owner};
use super::{SOON, eventually};

impl Postgres {
    /// A folder of its own inside of that one, which the server alone may use.
    pub(crate) fn folder_in(&self, outer: &Path, name: &str) -> PathBuf {
        let folder = outer.join(name);
        std::fs::create_dir(&folder).unwrap();
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&folder, rights).unwrap();
        if let Some((user, group)) = owner() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        folder
    }

    /// Has its WAL in another folder from now on; it starts anew.
    pub(crate) fn move_wal(&mut self, to: &Path) {
        self.kill();
        let wal = self.folder.join("data/pg_wal");
        let mut moves = Command::new("cp");
        moves.arg("-a").arg(wal.join(".")).arg(to);
        assert!(moves.status().unwrap().success());
        std::fs::remove_dir_all(&wal).unwrap();
        std::os::unix::fs::symlink(to, &wal).unwrap();
        self.up();
    }

    /// Starts it anew where it has ended by itself, until it answers.
    pub(crate) fn revive(&mut self) {
        eventually("PostgreSQL answers again", SOON, || {
            let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid"));
            let pid = pid.unwrap_or_default();
            let pid = pid.lines().next().unwrap_or("none");
            if !Path::new("/proc").join(pid).exists() {
                self.end_keeping();
                self.up();
            }
            self.named("postgres").try_sql("SELECT 1").map(drop)
        });
    }
}
