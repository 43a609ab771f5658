//! Handing over to a new process, end to end: real processes, real sockets.

#![allow(unreachable_pub, missing_docs, dead_code, unused_imports, clippy::unwrap_used)]

mod ends;
mod family;
mod heirs;
mod load;
mod service_manager;
#[path = "../e2e/support/mod.rs"]
mod support;
mod upgrade;
