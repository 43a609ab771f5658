//! PostgreSQL's programs: where they are, and how they are run.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::{Doing, Error, Result};
use crate::user::{User, command};

/// Debian installs versions beside each other, none of them on the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

/// No program of ours takes longer than this, in seconds; copying a primary is the longest.
const LONGEST: &str = "120";

/// The directory with initdb, postgres, pg_basebackup and psql.
#[derive(Debug, Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// The newest version of Debian's, or what is on the PATH.
    pub(crate) fn find() -> Result<Self> {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
            })
            .filter(|(_, directory)| directory.join("initdb").is_file())
            .collect();
        versions.sort();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directory = versions
            .pop()
            .map(|(_, directory)| directory)
            .or_else(|| std::env::split_paths(&path).find(|path| path.join("initdb").is_file()))
            .ok_or_else(|| Error::Missing("PostgreSQL (initdb)".to_owned()))?;
        for name in ["initdb", "postgres", "pg_basebackup", "psql"] {
            if !directory.join(name).is_file() {
                return Err(Error::Missing(format!("PostgreSQL's {name}")));
            }
        }
        Ok(Self(directory))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs one to its end and gives what it printed. Passwords go through the environment
    /// or the standard input: command lines are for everybody to read.
    pub(crate) fn run(
        &self,
        name: &str,
        arguments: &[&OsStr],
        password: Option<&str>,
        input: &str,
        user: Option<&User>,
        directory: &Path,
    ) -> Result<String> {
        let doing = || format!("cannot run {name}");
        let mut command = command(user, None, OsStr::new("timeout"));
        command.args(["--kill-after=5", LONGEST]).arg(self.path(name)).args(arguments);
        // Settings of ours would decide where it connects to.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command.env("PGCONNECT_TIMEOUT", "10");
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let mut child = command
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing(doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ended early says why on its own.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().doing(doing)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let mut message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if message.is_empty() {
            message = output.status.to_string();
        }
        Err(Error::Failed { program: name.to_owned(), message })
    }

    /// Runs SQL as `role` and gives the rows, columns separated by `|`.
    pub(crate) fn sql(
        &self,
        port: u16,
        role: &str,
        database: &str,
        password: &str,
        sql: &str,
    ) -> Result<String> {
        let port = OsString::from(port.to_string());
        let arguments: Vec<&OsStr> = [
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--host=127.0.0.1",
            "--username",
            role,
            "--dbname",
            database,
            "--port",
        ]
        .into_iter()
        .map(OsStr::new)
        .chain([port.as_os_str()])
        .collect();
        self.run("psql", &arguments, Some(password), sql, None, Path::new("/"))
    }
}
