//! End to end: a real `lb` process, real sockets, real TLS, real origins.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod balancing;
mod bodies;
mod engines;
mod failover;
mod forwarding;
mod lane;
mod limits;
mod names;
mod observing;
mod own_responses;
mod protocols;
mod retries;
mod routing;
mod stopping;
mod support;
mod tls;
mod websocket;
