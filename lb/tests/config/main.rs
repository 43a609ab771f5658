//! The configuration contract: every file that is refused with every word that
//! is said about it, the defaults, the documentation, the program.
//!
//! The tables hold a piece of YAML and the problems it has, as `lb check` prints
//! them without the file's name. The piece stands at its [`support::Place`] in a
//! file that is sound otherwise.

#![allow(unreachable_pub, missing_docs)]

mod bounds;
mod defaults;
mod docs;
mod keys;
mod leaves;
mod listeners;
mod mutations;
mod names;
mod program;
mod routes;
mod shipped;
mod support;
mod syntax;
mod types;
mod upstreams;
mod warnings;
