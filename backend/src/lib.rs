//! The API service that `lb` balances: stateless HTTP on hyper (through axum),
//! with its state in a store and a cache that all instances share.
//!
//! The life of a request:
//!
//! ```text
//! socket → http::server (deadlines, HTTP/1.1 or h2c)
//!        → http::middleware (request id, span, measurement, X-Served-By)
//!        → http::router → handlers → users, sessions → accounts → cache → store → domain
//! ```
//!
//! Below the handlers dependencies point to the right and never back: the cache knows the
//! store's positions, the store knows the domain. Whatever goes wrong becomes a response in
//! one place, [`error`]. [`openapi`] describes the handlers, which know nothing of it.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod cache;
pub mod causes;
pub mod domain;
pub mod error;
pub mod frontend;
pub mod handlers;
pub mod host;
pub mod http;
pub mod metrics;
pub mod openapi;
pub mod passwords;
pub mod request_metrics;
pub mod rooms;
pub mod secret;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod shutdown;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod users;
