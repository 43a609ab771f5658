//! Sockets: binding, accepting, PROXY headers, TLS, deadlines, and handing
//! messages to an engine.
//!
//! Each worker accepts on a queue of its own (`SO_REUSEPORT`), so that workers
//! never meet at a lock. Every HTTP/1 head is read here, by the one parser; what
//! is carried of it is the engine's job.

mod accept;
mod bystander;
mod frames;
mod gate;
mod greeting;
mod http1;
mod http2;
mod http2_stream;
mod linger;
mod message;
mod socket;
mod transport;
mod watch;

pub use accept::{AcceptContext, Accepting, ListenerShare, accept};
pub use gate::{Gate, Room};
pub use socket::{BindError, Bound, Socket, Sockets, bind};
