//! The configuration contract: every file that is refused with every word that
//! is said about it, the defaults, the documentation, the program.
//!
//! The tables hold a piece of YAML and the problems it has, as `lb check` prints
//! them without the file's name. The piece stands at its [`support::Place`] in a
//! file that is sound otherwise.

#![allow(missing_docs, unreachable_pub, reason = "nobody uses a test program as a library")]
#![expect(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

mod addresses;
mod bounds;
mod connections;
mod defaults;
mod discovery;
mod docs;
mod failover;
mod keys;
mod leaves;
mod listeners;
mod matches;
mod mutations;
mod names;
mod numbers;
mod program;
mod routes;
mod shipped;
mod support;
mod syntax;
mod types;
mod upstreams;
mod warnings;
