//! The handlers, around a store that can do what SQLite cannot.

mod health;
mod login;
mod openapi;
mod positions;

use crate::domain::Credentials;
use crate::testing::Api;

/// The field with a good token.
fn bearer(api: &Api, credentials: &Credentials) -> String {
    format!("Bearer {}", api.services.sessions.issue(credentials).unwrap().expose())
}
