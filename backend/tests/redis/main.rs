//! The backend and a Redis Cluster: six real servers, which are killed, halted and emptied.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so bluntly")]

mod failures;
mod processes;
mod rooms;
mod sessions;
mod store;
mod support;
mod values;

#[path = "../api/support.rs"]
#[allow(dead_code, reason = "what other tests need of it too")]
mod service;
