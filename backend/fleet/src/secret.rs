//! Random passwords, and the private files they are kept in.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Result};
use crate::user::User;

/// A new password of 160 random bits, in hexadecimal: it needs quoting nowhere.
pub(crate) fn password() -> Result<String> {
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Failed {
        program: "random numbers".to_owned(),
        message: "the system gives none".to_owned(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The password in `path`; a new one is made if there is no such file.
pub(crate) fn password_in(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("cannot read {}", path.display()))
        }
        _ => {
            let password = password()?;
            write_private(path, &password, None)?;
            Ok(password)
        }
    }
}

/// Writes a file that only its owner may read: `owner`, or ourselves.
pub(crate) fn write_private(path: &Path, text: &str, owner: Option<&User>) -> Result<()> {
    let doing = || format!("cannot write {}", path.display());
    // Beside the file and then in its place: it is never there half, nor readable by others.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    let mut file: File =
        File::options().write(true).create_new(true).mode(0o600).open(&new).doing(doing)?;
    file.write_all(text.as_bytes()).doing(doing)?;
    if let Some(owner) = owner {
        owner.give(&new)?;
    }
    fs::rename(&new, path).doing(doing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_kept_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let first = password_in(&path).unwrap();
        assert_eq!(first.len(), 40);
        assert_eq!(password_in(&path).unwrap(), first);
        assert_ne!(password().unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
