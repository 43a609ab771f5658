//! The servers behind the backends, on one machine and without containers: a PostgreSQL
//! primary with streaming replicas ([`postgres`]) and a Redis Cluster ([`redis`]). `make
//! fleet` runs them with the program of this package, tests with these types.
//!
//! Servers that a test starts end with it: when the value is dropped, also by a panic, and
//! when the test is killed, by the kernel.

mod error;
mod interrupt;
mod place;
mod ports;
pub mod postgres;
mod process;
pub mod redis;
mod secret;
mod spawn;
pub mod system;
mod user;
mod wait;

pub use error::{Error, Result};
pub use interrupt::heed_signals;
pub use process::Lifetime;
