//! The whole behind the balancer: three instances on a PostgreSQL with two
//! replicas and a Redis Cluster of six nodes, some of which are killed, paused
//! and started again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so bluntly")]

#[path = "../api/support.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod support;

mod databases;
mod instances;
mod redis;
mod stack;
