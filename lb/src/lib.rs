//! An L7 load balancer: one process, configured by one YAML file, built on
//! Pingora.
//!
//! The way through the house is in `docs/ARCHITECTURE.md`; in one line:
//! `config` (what was written) → `compile` → `snapshot`, and for each request
//! `listener` → `request` → `policy::decide` → `limit` → `upstream` → `engine`
//! → `response` → `observe`.

pub mod admin;
pub mod balance;
pub mod cli;
pub mod compile;
pub mod config;
pub mod engine;
pub mod head;
pub mod limit;
pub mod listener;
pub mod observe;
pub mod policy;
pub mod request;
pub mod response;
pub mod runtime;
pub mod snapshot;
pub mod timer;
pub mod tls;
pub mod upstream;
pub mod values;
