//! The life of the process: start, signals, drain, stop.

mod certificates;
mod changes;
mod config_file;
mod control;
mod descriptors;
mod handover;
mod pid_file;
mod process;
mod reload;
mod servers;
mod service_manager;
mod serving;
mod shares;
mod signals;
mod sockets;
mod worker;

pub use handover::follow_testator;
pub use process::{Options, StartError, run};
pub use signals::hold as hold_signals;
