//! The status server: what monitoring and orchestration ask.

mod status;

pub use status::{StatusError, bind_status, serve_status};
