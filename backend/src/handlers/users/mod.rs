//! Users: reading them, and changing them.

pub mod read;
pub mod write;
