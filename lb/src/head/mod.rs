//! The HTTP/1 request head, and the framing of the body that follows it.
//!
//! This is the one place that reads HTTP/1 off the wire. A request is smuggled
//! where two readers of the same bytes disagree about where it ends (RFC 9112
//! §11.2), so nothing is repaired here: what a careful client would not send is
//! refused, and what is passed on is written anew by
//! [`Head::write_canonical`] and [`write_chunk_header`].
//!
//! [`Scanner`] finds the end of a head while its bytes come, [`parse`] reads it,
//! [`BodyDecoder`] takes the body out of its framing. All are pure and allocate
//! nothing: no socket, no clock, no Pingora. What a refusal is answered with is
//! decided by the caller, from [`HeadError::refusal`].
//!
//! Whether the request makes sense (a missing `Host`, a path that climbs above
//! the root) is for `request` and `policy` to say.

mod body;
mod error;
mod fields;
mod framing;
mod lines;
mod parse;
mod scan;
mod target;
mod trailer;
mod write;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, BodyError, Step};
pub use error::{HeadError, Refusal};
pub use fields::{Field, MAX_FIELDS, Slots};
pub use framing::Framing;
pub use parse::{Head, Version, parse};
pub use scan::Scanner;
pub use write::{CHUNK_END, LAST_CHUNK, write_chunk_header};

/// How large a request head may be (`defaults.limits`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of all field lines together, their line ends included.
    pub header_size: usize,
    /// Number of field lines; never more than [`MAX_FIELDS`].
    pub headers: usize,
    /// Bytes of the request target.
    pub uri: usize,
}
