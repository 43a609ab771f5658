//! What the service is about: users, and what is a valid one.
//!
//! The types here are parsed once, at the edge; whoever holds one need not
//! check it again. Nothing here knows HTTP or SQL.

mod account;
mod email;
mod user;

pub use account::{Account, Credentials, NewUser, Role, TokenId, UserChanges};
pub use email::EmailAddress;
pub use user::{Password, User, UserId, UserName};

/// Why a text is not the value it was offered as; safe to show to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);
