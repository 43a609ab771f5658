//! What each endpoint does, one file a subject.

pub mod auth;
pub mod diagnostics;
pub mod health;
pub mod metrics;
pub mod probes;
pub mod schemas;
pub mod users;
pub mod websocket;

#[cfg(test)]
mod tests;
