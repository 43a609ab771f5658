//! The edge, end to end: slow, greedy and confused clients against a real `lb`.

#![allow(unreachable_pub, missing_docs, dead_code, unused_imports, clippy::unwrap_used)]

mod corners;
mod deadlines;
mod descriptors;
mod limits;
mod pace;
mod protocols;
mod proxy_protocol;
mod setup;
#[path = "../e2e/support/mod.rs"]
mod support;
