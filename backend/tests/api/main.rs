//! The service from outside: real processes on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so bluntly")]

mod auth;
mod connections;
mod diagnostics;
mod frontend;
mod lifecycle;
mod probes;
mod support;
mod users;
mod websocket;
