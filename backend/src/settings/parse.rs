//! From text to values; what is wrong is said in words that an operator understands.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use tracing_subscriber::EnvFilter;

use super::Admin;
use crate::domain::{EmailAddress, Password};
use crate::secret::Secret;

/// The settings that are wrong: the name of each, and why.
#[derive(Debug)]
pub struct InvalidSettings(pub Vec<(&'static str, String)>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (setting, problem)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{setting}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSettings {}

#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<(&'static str, String)>);

impl Problems {
    pub(super) fn collect<T>(
        &mut self,
        setting: &'static str,
        parsed: Result<T, String>,
    ) -> Option<T> {
        parsed.map_err(|problem| self.0.push((setting, problem))).ok()
    }
}

pub(super) fn parse_instance(name: &str) -> Result<HeaderValue, String> {
    // Longer names have no use, and some clients bound what a field may hold.
    const MAX_LENGTH: usize = 255;

    match HeaderValue::from_str(name) {
        Ok(value)
            if (1..=MAX_LENGTH).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(value)
        }
        _ => Err(format!("{name:?}: must be 1 to {MAX_LENGTH} visible ASCII characters")),
    }
}

pub(super) fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    let wrong = |error: &dyn fmt::Display| format!("{text:?}: {error}");
    let filter = EnvFilter::try_new(text).map_err(|error| wrong(&error))?;
    // The library tells of every attempt at every node; what matters of it, we say ourselves.
    if text.split(',').any(|directive| directive.starts_with("redis")) {
        return Ok(filter);
    }
    "redis=off".parse().map(|off| filter.add_directive(off)).map_err(|error| wrong(&error))
}

pub(super) fn parent_exists(file: &Path) -> Result<(), String> {
    let Some(parent) = file.parent() else {
        return Err(format!("{}: is not a file name", file.display()));
    };
    // The parent of a bare file name is empty and means the current directory.
    if parent.as_os_str().is_empty() || parent.is_dir() {
        Ok(())
    } else {
        Err(format!("{}: {} is not a directory", file.display(), parent.display()))
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn parse_time_to_live(text: &str) -> Result<Duration, String> {
    /// Keeps the sum with the current time far from any overflow.
    const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    let duration = parse_duration(text)?;
    if (Duration::from_secs(1)..=MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("{text:?}: must be from 1s to 3650d"))
    }
}

/// Wraps what must not be logged.
pub(super) fn wrap(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// A password from the environment or from a file, whose last line end does not
/// belong to it; not from both.
pub(super) fn parse_password(
    password: Option<Secret<String>>,
    file: Option<PathBuf>,
) -> Result<Option<Secret<String>>, String> {
    let Some(file) = file else {
        return Ok(password);
    };
    if password.is_some() {
        return Err(format!("{}: there is a password beside the file", file.display()));
    }
    let mut text = fs::read_to_string(&file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        Err(format!("{} is empty", file.display()))
    } else {
        Ok(Some(Secret::new(text)))
    }
}

/// An administrator has an address and a file with a password, or there is none.
pub(super) fn parse_admin(
    email: Option<String>,
    file: Option<PathBuf>,
) -> Result<Option<Admin>, String> {
    match (email, file) {
        (None, None) => Ok(None),
        (Some(email), Some(file)) => {
            let email =
                EmailAddress::parse(&email).map_err(|invalid| format!("{email:?}: {invalid}"))?;
            let password = parse_password(None, Some(file))?.ok_or("there is no password")?;
            let password =
                Password::parse(password).map_err(|invalid| format!("the password {invalid}"))?;
            Ok(Some(Admin { email, password }))
        }
        (Some(_), None) => Err("needs BACKEND_ADMIN_PASSWORD_FILE".to_owned()),
        (None, Some(_)) => Err("is missing, but there is a password".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_one_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "correct horse\r\n").unwrap();
        let given = || Some(Secret::new("hunter22".to_owned()));

        assert!(parse_password(None, None).unwrap().is_none());
        let given_alone = parse_password(given(), None).unwrap().unwrap();
        assert_eq!(given_alone.expose(), "hunter22");
        let from_file = parse_password(None, Some(file.clone())).unwrap().unwrap();
        assert_eq!(from_file.expose(), "correct horse");

        let both = parse_password(given(), Some(file.clone())).unwrap_err();
        assert!(!both.contains("hunter22"), "{both}");
        fs::write(&file, "\n").unwrap();
        assert!(parse_password(None, Some(file.clone())).is_err());
        fs::remove_file(&file).unwrap();
        assert!(parse_password(None, Some(file)).is_err());
    }
}
