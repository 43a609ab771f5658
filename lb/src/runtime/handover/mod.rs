//! Handing over to a new process: the sockets move, no connection is lost.
//!
//! The old process starts the new one as it was started itself, with one end of
//! a socket pair as its standard input, and sends it every listening socket. The
//! sockets stay what they are, with the queues behind them: whoever waits there
//! is accepted by one or the other. What is said, each in a packet of its own:
//!
//! | old | new | |
//! |---|---|---|
//! | `Socket`, …, `End` | | with a descriptor each |
//! | | `Prepared` | the configuration compiles, every endpoint has been checked |
//! | `Go` | | from here on the old one counts on the new |
//! | | `Open` | it accepts |
//!
//! Only then does the old one stop accepting, and drain. A new process that ends,
//! or says nothing in time, is killed, and the old one goes on as if nothing had
//! happened: until `Go` the new one has accepted nobody.

mod bequest;
mod heir;
mod packet;

pub(super) use bequest::{Attempt, Refusal, begin};
pub use heir::follow_testator;
pub(super) use heir::{Inheritance, Testator};

/// Set for a process that is to take over, to the id of the one before. Its standard
/// input is the socket.
const VARIABLE: &str = "LB_HANDOVER";
