//! Engines: what turns bytes into HTTP and carries out verdicts.
//!
//! State around a verdict (charges, leases, deadlines, the record of the
//! exchange) is the same for every engine and lives here; what is particular
//! to one stands in its folder.

mod connection;
mod deadline;
mod live;
pub mod pingora;

pub use connection::Connection;
pub use deadline::Deadline;
pub use live::{Live, LiveUpstream, Shared};
