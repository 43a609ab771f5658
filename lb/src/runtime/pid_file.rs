//! The pid file.

use std::io;
use std::path::Path;

/// Writes our process id.
pub(super) fn write(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    // Whole, or not at all: `lb upgrade` reads it at any time.
    let mut beside = path.to_owned().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let written = std::fs::write(&beside, format!("{}\n", std::process::id()))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // Err: it was not even made.
        let _ = std::fs::remove_file(&beside);
        let text = format!("the pid file {} cannot be written: {error}", path.display());
        io::Error::new(error.kind(), text)
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
