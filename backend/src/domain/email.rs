//! E-mail addresses: their shape, and when two are the same.

use std::fmt;

use super::Invalid;

/// The longest address that fits the path of RFC 5321 §4.5.3.1.3 (256 octets
/// with its angle brackets).
const MAX_LENGTH: usize = 254;

/// RFC 5321 §4.5.3.1.1.
const MAX_LOCAL_LENGTH: usize = 64;

/// An e-mail address as the user wrote it.
///
/// Only the shape is checked (`local@host.domain`): whether somebody reads the
/// mail is known by sending one, not by a longer grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses `text`; nothing is trimmed or corrected.
    ///
    /// # Errors
    /// If `text` is too long or has not the shape of an address.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const MALFORMED: Invalid = Invalid("must be an e-mail address");

        if text.len() > MAX_LENGTH {
            return Err(Invalid("must be at most 254 bytes long"));
        }
        let (local, domain) = text.rsplit_once('@').ok_or(MALFORMED)?;
        let local_is_sound = !local.is_empty()
            && local.len() <= MAX_LOCAL_LENGTH
            && local.chars().all(|c| c != '@' && !c.is_whitespace() && !c.is_control());
        if local_is_sound && domain.contains('.') && domain.split('.').all(is_label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MALFORMED)
        }
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which addresses are compared. RFC 5321 lets hosts tell
    /// local parts apart by case; none does, and people do not.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_addresses_people_have() {
        for text in ["a@b.io", "first.last+tag@mail.example.com", "Ünal@müller.example"] {
            assert!(EmailAddress::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@localhost",
            "a@b@example.com",
            "a b@example.com",
            "a@.com",
            "a@example..com",
            "a@-example.com",
            "a@exa mple.com",
            "a\n@example.com",
            &long_local,
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_longest_address_is_254_bytes() {
        let host = |length: usize| format!("{}.io", "d".repeat(length - 3));
        assert!(EmailAddress::parse(&format!("ab@{}", host(251))).is_ok());
        assert!(EmailAddress::parse(&format!("ab@{}", host(252))).is_err());
    }

    #[test]
    fn addresses_compare_without_case() {
        let one = EmailAddress::parse("Ann@Example.com").unwrap();
        let other = EmailAddress::parse("ann@example.COM").unwrap();
        assert_eq!(one.key(), other.key());
        assert_eq!(one.as_str(), "Ann@Example.com");
    }
}
