//! The configuration file: whether it has changed.
//!
//! It is looked at every second instead of being waited for: that works on every
//! file system, and when directories are swapped above it, as Kubernetes does
//! with ConfigMaps.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks. Whoever writes it is waited for so long.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// A file that is looked at.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    path: PathBuf,
    /// Of what was loaded, or tried.
    loaded: Option<Identity>,
    /// As it was at the last look.
    seen: Option<Identity>,
}

impl ConfigFile {
    /// A file as it is now.
    pub(super) fn new(path: PathBuf) -> Self {
        let now = Identity::of(&path);
        Self { path, loaded: now, seen: now }
    }

    /// Looks. Whether it is another than was loaded, and has been the same for two
    /// looks: nobody is writing it any more. A file that is away is waited for.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = Identity::of(&self.path);
        let quiet = now == self.seen;
        self.seen = now;
        quiet && now.is_some() && now != self.loaded
    }

    /// It is about to be loaded.
    pub(super) fn loading(&mut self) {
        self.loaded = Identity::of(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once_it_is_quiet_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lb.yaml");
        fs::write(&path, "one").unwrap();
        let mut file = ConfigFile::new(path.clone());
        assert!(!file.has_changed());
        fs::write(&path, "three").unwrap();
        assert!(!file.has_changed(), "somebody may be writing");
        fs::write(&path, "three four").unwrap();
        assert!(!file.has_changed(), "and was");
        assert!(file.has_changed());
        file.loading();
        assert!(!file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(!file.has_changed() && !file.has_changed(), "it is away");
        let aside = directory.path().join("new.yaml");
        fs::write(&aside, "three four").unwrap();
        fs::rename(&aside, &path).unwrap();
        assert!(!file.has_changed());
        assert!(file.has_changed(), "another file in its place");
    }
}
