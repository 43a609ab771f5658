//! The life of the process: start, signals, drain, stop.

mod certificates;
mod descriptors;
mod process;
mod signals;
mod worker;

pub use process::{StartError, run};
