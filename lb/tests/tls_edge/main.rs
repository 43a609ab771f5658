//! TLS at the edge and towards endpoints, with openssl as the peer wherever it
//! can be: what operators change while connections are open, and what strangers
//! try.

#![allow(missing_docs, clippy::unwrap_used)]

mod authority;
mod bad_files;
mod broken_swaps;
mod chains_and_keys;
mod client;
mod client_certificates;
mod forwarded_identity;
mod hot_swap;
mod many;
mod names;
mod negotiation;
mod openssl;
mod origin;
mod resumption;
mod shared_tickets;
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "this target does not need all of it"
)]
#[path = "../e2e/support/mod.rs"]
mod support;
mod upstream_names;
mod upstream_pools;
mod upstream_sessions;
mod upstreams;
mod wire;
