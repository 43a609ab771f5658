//! The heads of HTTP/1 requests and responses, and the framing of the bodies
//! that follow them.
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
//! For responses it is [`ResponseScanner`], [`parse_response`], and the same
//! decoder. A response is refused whole: the client gets one of ours.
//!
//! Whether the request makes sense (a missing `Host`, a path that climbs above
//! the root) is for `request` and `policy` to say.

mod body;
mod error;
mod fields;
mod framing;
mod lines;
mod parse;
mod response;
mod scan;
mod target;
mod trailer;
mod write;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, BodyError, Step};
pub use error::{HeadError, Refusal, ResponseError};
pub use fields::{Field, MAX_FIELDS, Slots};
pub use framing::Framing;
pub use parse::{Head, Version, parse};
pub use response::{ResponseFraming, ResponseHead, ResponseLimits, parse_response};
pub use scan::{ResponseScanner, Scanner};
pub use trailer::{may_pass_in_trailer, trailer_fields};
pub use write::{
    CHUNK_END, LAST_CHUNK, write_chunk_header, write_decimal, write_field, write_status_line,
};

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
