//! What the tests stand on: processes, origins, clients, certificates.

mod certificates;
mod client;
#[allow(dead_code, reason = "of the tests that share this, only some need it")]
pub mod dns;
mod engine;
mod lb;
mod origin;
#[allow(dead_code, reason = "of the tests that share this, only some need it")]
mod reload;

pub use certificates::Certificates;
pub use client::{Client, RawConnection};
pub use engine::{Engine, engine};
pub use lb::{Lb, backend_binary, eventually};
pub use origin::{Body, Origin, RawOrigin, Recorded, respond};
