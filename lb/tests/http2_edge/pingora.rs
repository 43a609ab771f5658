//! What of these tests is about requests of HTTP/1.1, once more with
//! `engine: pingora`. HTTP/2 is carried by Pingora anyway.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

#[expect(dead_code, reason = "shared with the tests of HTTP/2")]
mod frames;
mod send_proxy;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
mod upgrades;
