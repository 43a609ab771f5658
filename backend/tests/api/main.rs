//! The service from outside: real processes on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so bluntly")]

mod accounts;
mod auth;
mod connections;
mod diagnostics;
mod frontend;
mod lifecycle;
mod probes;
mod strictness;
mod support;
mod tokens;
mod users;
mod websocket;
