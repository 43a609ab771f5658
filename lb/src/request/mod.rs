//! What is read off a request before it is decided: the normal form of its
//! path, the address of its client, its id.

mod client;
mod id;
mod path;

pub use client::{Forwarded, client_address};
pub use id::{RequestId, acceptable_request_id};
pub use path::{BadPath, NormalPath, normalise_path};
