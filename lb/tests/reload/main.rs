//! Reloads of a running `lb`: what they change, what they leave alone, and what
//! they refuse.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod admin;
mod applying;
mod endings;
mod endpoints;
mod files;
mod limits;
mod listeners;
mod load;
mod logs;
mod pools;
mod scene;
mod sequences;
mod sessions;
mod tunnels;
mod watching;

#[path = "../tls_edge/authority.rs"]
#[expect(dead_code, reason = "shared with the tests in tls_edge")]
mod authority;
#[path = "../http2_edge/frames.rs"]
#[expect(dead_code, reason = "shared with the tests in http2_edge")]
mod frames;
#[path = "../tls_edge/openssl.rs"]
#[expect(dead_code, reason = "shared with the tests in tls_edge")]
mod openssl;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
