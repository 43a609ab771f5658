//! Who the servers run as: PostgreSQL refuses to run as root, and nothing else needs to.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};

/// The unprivileged user that root runs servers as.
#[derive(Debug, Clone)]
pub(crate) struct User(nix::unistd::User);

impl User {
    /// For root: the first of `names` that exists, or nobody. For anybody else: none, they
    /// run servers as themselves.
    pub(crate) fn for_servers(names: &[&str]) -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in names.iter().chain(&["nobody"]) {
            if let Some(user) =
                nix::unistd::User::from_name(name).doing(|| format!("cannot look {name} up"))?
            {
                return Ok(Some(Self(user)));
            }
        }
        Err(Error::NoSuchServer(format!("user of {names:?}, and no nobody")))
    }

    /// Makes it the owner of a file or a directory.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        std::os::unix::fs::lchown(path, Some(self.0.uid.as_raw()), Some(self.0.gid.as_raw()))
            .doing(|| format!("cannot give {} to {}", path.display(), self.0.name))
    }

    /// That it can walk to a directory, as asked of the system itself.
    pub(crate) fn check_enters(&self, directory: &Path) -> Result<()> {
        let mut command = command(Some(self), None, OsStr::new("test"));
        let status = command
            .arg("-x")
            .arg(directory)
            .stdin(Stdio::null())
            .status()
            .doing(|| "cannot run setpriv".to_owned())?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Closed { user: self.0.name.clone(), directory: directory.to_owned() })
        }
    }
}

/// A command that runs `program` as `user`, or as ourselves. With `death`, the kernel sends
/// that signal to it when the thread that started it ends (see [`crate::spawn`]); setpriv
/// asks for it after it has changed users, which would take it back.
pub(crate) fn command(user: Option<&User>, death: Option<&str>, program: &OsStr) -> Command {
    if user.is_none() && death.is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    if let Some(User(user)) = user {
        command
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid))
            .arg("--clear-groups");
    }
    if let Some(signal) = death {
        command.arg(format!("--pdeathsig={signal}"));
    }
    command.arg("--").arg(program);
    command
}
