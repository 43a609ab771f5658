//! A user, and the parts one is made of.

use std::fmt;
use std::time::SystemTime;

use super::{EmailAddress, Invalid, Role};
use crate::secret::Secret;

/// A user as the rest of the program sees one: without the password.
#[derive(Debug, Clone)]
pub struct User {
    /// The identity, given by the store.
    pub id: UserId,
    /// The address, unique without regard to case.
    pub email: EmailAddress,
    /// What the user is called.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// When the user was stored, to the millisecond.
    pub created_at: SystemTime,
}

/// Identity of a user; positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(i64);

impl UserId {
    /// The identity that the store gave.
    pub fn from_stored(id: i64) -> Self {
        Self(id)
    }

    /// Parses the decimal form. There is one spelling of an id only: no sign,
    /// no leading zero; so that one user has one URL and one cache key.
    ///
    /// # Errors
    /// If `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const MALFORMED: Invalid = Invalid("must be a user id");
        if !text.starts_with(|c: char| matches!(c, '1'..='9')) {
            return Err(MALFORMED);
        }
        text.parse().map(Self).map_err(|_| MALFORMED)
    }

    /// The number itself.
    pub fn value(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name of a user: 1 to 100 characters, none of them a control character,
/// not all of them blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// Parses `text`; nothing is trimmed.
    ///
    /// # Errors
    /// If `text` is blank, too long, or has control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() || text.chars().count() > 100 {
            return Err(Invalid("must be 1 to 100 characters long"));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid("must not contain control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password that somebody chose: 8 to 128 characters of any kind.
///
/// The upper bound keeps the first step of the hash cheap; there are no rules
/// of composition, as NIST SP 800-63B advises.
#[derive(Debug, Clone)]
pub struct Password(Secret<String>);

impl Password {
    /// Checks the length of `text`, in characters.
    ///
    /// # Errors
    /// If it is too short or too long.
    pub fn parse(text: Secret<String>) -> Result<Self, Invalid> {
        if (8..=128).contains(&text.expose().chars().count()) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be 8 to 128 characters long"))
        }
    }

    /// The text, still wrapped.
    pub fn into_secret(self) -> Secret<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(UserId::parse("42").unwrap().value(), 42);
        for text in ["", "0", "-1", "+1", "01", "1 ", "1.0", "one", "9223372036854775808"] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert!(UserName::parse(&"é".repeat(100)).is_ok());
        assert!(UserName::parse(&"é".repeat(101)).is_err());
        assert!(UserName::parse("  ").is_err());
        assert!(UserName::parse("a\u{7}b").is_err());
    }

    #[test]
    fn passwords_are_counted_in_characters() {
        let parse = |text: String| Password::parse(Secret::new(text));
        assert!(parse("é".repeat(7)).is_err());
        assert!(parse("é".repeat(8)).is_ok());
        assert!(parse("é".repeat(128)).is_ok());
        assert!(parse("é".repeat(129)).is_err());
    }
}
