//! What is read off a request before it is decided: the normal form of its
//! path, the address of its client, its id; and the PROXY header that tells of a
//! client before its first request.

mod client;
mod id;
mod path;
pub mod proxy_protocol;

pub use client::{Forwarded, client_address};
pub use id::{RequestId, acceptable_request_id};
pub use path::{BadPath, NormalPath, normalise_path};
