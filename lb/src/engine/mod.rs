//! Engines: what turns bytes into HTTP and carries out verdicts.
//!
//! State around a verdict (charges, leases, deadlines, the record of the
//! exchange) is the same for every engine and lives here; what is particular
//! to one stands in its folder.

mod answer;
mod arrival;
mod attempt;
mod connection;
mod deadline;
mod edits;
mod era;
mod exchange;
mod forward;
pub mod lane;
mod live;
mod message;
mod pace;
pub mod pingora;
mod record;
mod refusal;
mod retry;
mod worker;

pub use connection::{Connection, Ends};
pub use deadline::Deadline;
pub use era::{Era, Stage};
pub use live::{Live, LiveUpstream, Shared};
pub use pace::{Late, Patience, Taking};
pub use refusal::{OwnAnswer, cause_of, refuse};
pub use worker::{Arrived, Engine};
