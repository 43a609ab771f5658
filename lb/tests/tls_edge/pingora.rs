//! What of these tests is about requests and their way to endpoints, once more
//! with `engine: pingora`. Handshakes with clients come before any engine.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

mod authority;
mod bad_files;
mod client;
mod forwarded_identity;
mod negotiation;
mod openssl;
mod origin;
#[expect(unreachable_pub, unused_imports, reason = "this target does not need all of it")]
#[path = "../e2e/support/mod.rs"]
mod support;
mod upstream_names;
mod upstream_pools;
mod upstream_sessions;
mod upstreams;
mod wire;
