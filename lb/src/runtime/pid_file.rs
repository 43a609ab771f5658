//! The pid file.

use std::io;
use std::path::{Path, PathBuf};

/// Whether it could be written.
pub(super) fn test(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let beside = beside(path);
    std::fs::write(&beside, "").map_err(|error| failed(path, &error))?;
    std::fs::remove_file(&beside)
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = path.to_owned().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    beside.into()
}

fn failed(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("the pid file {} cannot be written: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// Writes our process id.
pub(super) fn write(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    // Whole, or not at all: `lb upgrade` reads it at any time.
    let beside = beside(path);
    let written = std::fs::write(&beside, format!("{}\n", std::process::id()))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // Err: it was not even made.
        let _ = std::fs::remove_file(&beside);
        failed(path, &error)
    })
}

/// Removes it, unless another process has written its own there in the meantime.
pub(super) fn remove(path: Option<&Path>) {
    let Some(path) = path else { return };
    let ours = std::process::id().to_string();
    if std::fs::read_to_string(path).is_ok_and(|pid| pid.trim() == ours) {
        // Err: it is gone already.
        let _ = std::fs::remove_file(path);
    }
}
