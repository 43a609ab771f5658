//! The stores, on real databases: SQLite files, and PostgreSQL servers with
//! replicas that are paused, killed and started again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so bluntly")]

mod contract;
mod replicas;
mod support;
