//! Directories of servers: where their user can get to, and gone when they should be.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Result};
use crate::process;
use crate::user::User;

/// Others may pass, but see nothing: what is inside has owners and modes of its own.
const PASSABLE: u32 = 0o711;

const TEMPORARY: &str = "fleet-of-";

/// A directory with the data, the logs and the pid files of servers.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    is_temporary: bool,
}

impl Place {
    /// A new one below the directory for temporary files, removed when it is dropped. Those
    /// of runs that were killed are removed first.
    pub(crate) fn temporary(name: &str) -> Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let (pid, started) = process::ourselves()?;
        let random = fastrand::u32(..);
        let path = parent.join(format!("{TEMPORARY}{pid}-{started}-{name}-{random:08x}"));
        make(&path)?;
        let place = Self { path, is_temporary: true };
        place.make_inner()?;
        Ok(place)
    }

    /// That directory, made if it is missing. If the servers' users may not enter it, what is
    /// there is a link to one below the directory for temporary files.
    pub(crate) fn at(path: &Path, users: &[Option<User>]) -> Result<Self> {
        let doing = || format!("cannot make {}", path.display());
        if let Ok(target) = fs::read_link(path) {
            // The temporary files may be gone since.
            if !target.is_dir() {
                make(&target)?;
            }
            check_is_ours(&target)?;
        } else if !path.is_dir() {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).doing(doing)?;
            make(path)?;
        }
        let mut real = fs::canonicalize(path).doing(doing)?;
        let is_closed =
            |path: &Path| users.iter().flatten().find_map(|user| user.check_enters(path).err());
        if let Some(error) = is_closed(&real) {
            let is_empty = fs::read_dir(&real).doing(doing)?.next().is_none();
            if !is_empty {
                return Err(error);
            }
            let random = fastrand::u64(..);
            let instead = std::env::temp_dir().join(format!("fleet-{random:016x}"));
            make(&instead)?;
            fs::remove_dir(&real).doing(doing)?;
            std::os::unix::fs::symlink(&instead, path).doing(doing)?;
            real = instead;
            if let Some(error) = is_closed(&real) {
                return Err(error);
            }
        }
        let place = Self { path: real, is_temporary: false };
        place.make_inner()?;
        Ok(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.path.join("pids").join(format!("{name}.pid"))
    }

    fn make_inner(&self) -> Result<()> {
        for name in ["logs", "pids"] {
            let path = self.path.join(name);
            fs::create_dir_all(&path).doing(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes a new directory for the data of a server, which that user owns.
pub(crate) fn make_private(path: &Path, owner: Option<&User>) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .doing(|| format!("cannot make {}", path.display()))?;
    owner.map_or(Ok(()), |owner| owner.give(path))
}

fn make(path: &Path) -> Result<()> {
    let doing = || format!("cannot make {}", path.display());
    DirBuilder::new().mode(PASSABLE).create(path).doing(doing)?;
    // Whatever the umask took.
    fs::set_permissions(path, Permissions::from_mode(PASSABLE)).doing(doing)
}

/// A link into a directory that anybody may write to is followed to what we made only.
fn check_is_ours(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path).doing(|| format!("cannot see {}", path.display()))?;
    if metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(Error::Failed {
        program: path.display().to_string(),
        message: "is no directory of ours".to_owned(),
    })
}

/// Removes what runs left behind that were killed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)).and_then(|rest| {
            let mut words = rest.split('-');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        });
        if let Some((pid, started)) = owner
            && !process::runs(pid, started)
            && check_is_ours(&entry.path()).is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_whose_directory_is_gone_gets_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (directory.path().join("link"), directory.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let place = Place::at(&link, &[]).unwrap();
        assert_eq!(place.path(), fs::canonicalize(&target).unwrap());
        assert!(place.log("x").parent().unwrap().is_dir());
        drop(place);
        assert!(target.is_dir(), "what is not temporary stays");
    }

    #[test]
    fn a_link_to_what_is_no_directory_of_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (link, other) = (directory.path().join("link"), directory.path().join("other"));
        std::os::unix::fs::symlink(directory.path(), &other).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let error = Place::at(&link, &[]).unwrap_err();
        assert!(error.to_string().contains("no directory of ours"), "{error}");
    }
}
