//! Handshakes with what `lb::tls` builds, in memory: certificates that are
//! swapped, what is negotiated, client certificates, and resumption.

#![allow(missing_docs, clippy::unwrap_used)]

mod certificates;
mod clients;
mod keys;
mod negotiation;
mod resumption;
mod support;
