//! What stands behind signing in: roles, credentials, tokens.

use super::{EmailAddress, Invalid, User, UserId, UserName};
use crate::secret::Secret;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything with themselves.
    User,
    /// Everything with everybody, and a look behind the scenes.
    Admin,
}

impl Role {
    /// Parses the name of a role.
    ///
    /// # Errors
    /// If there is no such role.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "user" => Ok(Self::User),
            "admin" => Ok(Self::Admin),
            _ => Err(Invalid("must be \"user\" or \"admin\"")),
        }
    }

    /// The name of the role.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// A user who is not stored yet.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The address.
    pub email: EmailAddress,
    /// What the user is called.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// The hash of the password, a PHC string.
    pub password_hash: Secret<String>,
}

/// What is to change of a user; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct UserChanges {
    /// A new address.
    pub email: Option<EmailAddress>,
    /// A new name.
    pub name: Option<UserName>,
    /// A new role.
    pub role: Option<Role>,
    /// The hash of a new password, a PHC string. It begins a new version of the
    /// tokens: those issued before are refused.
    pub password_hash: Option<Secret<String>>,
    /// Only if the tokens are still of this version: if nobody has changed the
    /// password since it was checked.
    pub if_token_version: Option<i64>,
}

/// What a login is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Whose they are.
    pub id: UserId,
    /// The hash of the password, a PHC string.
    pub password_hash: Secret<String>,
    /// What the tokens of this login have to carry.
    pub token_version: i64,
}

/// What a token is checked against, beside its signature.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose it is.
    pub user: User,
    /// Tokens with another version are refused.
    pub token_version: i64,
}

/// Identity of an access token (`jti`, RFC 7519 §4.1.7): 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// A new one, at random.
    pub fn random() -> Self {
        // Unique is enough: the signature is what cannot be guessed.
        Self(format!("{:032x}", fastrand::u128(..)))
    }

    /// Parses what [`TokenId::as_str`] gives.
    ///
    /// # Errors
    /// If `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_id =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(Self(text.to_owned())) } else { Err(Invalid("must be a token id")) }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_its_name() {
        for role in [Role::User, Role::Admin] {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        assert!(Role::parse("Admin").is_err());
    }

    #[test]
    fn a_token_id_is_32_digits() {
        let id = TokenId::random();
        assert_eq!(TokenId::parse(id.as_str()).unwrap(), id);
        for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert!(TokenId::parse(text).is_err(), "{text}");
        }
    }
}
