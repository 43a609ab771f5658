//! HTTP/2 from clients that mean harm, and the PROXY protocol to endpoints.
//!
//! A client of our own writes frames that no library would. What is claimed of
//! every attack: the connection ends with the right GOAWAY and is counted under
//! its cause, everybody else is served meanwhile and afterwards, and memory stays.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod bodies;
mod deadlines;
mod floods;
mod frames;
mod header_floods;
mod lifetime;
mod reset_floods;
mod scene;
mod send_proxy;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
mod upgrades;
