//! Sockets: binding, accepting, TLS, and handing connections to an engine.
//!
//! Each worker accepts on a queue of its own (`SO_REUSEPORT`), so that workers
//! never meet at a lock. What is read off a connection is the engine's job.

mod accept;
mod http1;
mod http2;
mod linger;
mod socket;
mod stream;

pub use accept::{AcceptContext, accept};
pub use socket::{BindError, Bound, Socket, Sockets, bind};
