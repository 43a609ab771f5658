//! The stores, on real databases: SQLite files, and PostgreSQL servers with
//! replicas that are paused, killed and started again.

mod contract;
mod replicas;
mod support;
mod troubles;
