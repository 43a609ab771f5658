//! Writes what was read anew, in the one form that leaves nothing to
//! interpretation.

use super::{Framing, Head};

/// What follows the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The chunk that ends a body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Head<'_, '_> {
    /// The canonical head: what a strict engine reads without doubt.
    ///
    /// Method, target, version, and the order and names of the fields are kept;
    /// whitespace is one space after each colon, Content-Length has no leading
    /// zeros, and Transfer-Encoding is in lower case.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        self.write_canonical_for(self.target, out);
    }

    /// The canonical head with another form of the target: the origin form of an
    /// absolute one.
    pub fn write_canonical_for(&self, target: &str, out: &mut Vec<u8>) {
        for part in [self.method, " ", target, " ", self.version.as_str(), "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for field in self.fields() {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            match self.framing {
                Framing::Length(length) if field.name.eq_ignore_ascii_case("content-length") => {
                    write_decimal(length, out);
                }
                Framing::Chunked if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    out.extend_from_slice(b"chunked");
                }
                _ => out.extend_from_slice(field.value),
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Begins a chunk of `length` bytes. They follow, and [`CHUNK_END`] after them.
///
/// `length` is not 0, which would end the body: that is [`LAST_CHUNK`].
pub fn write_chunk_header(length: usize, out: &mut impl Extend<u8>) {
    debug_assert_ne!(length, 0, "an empty chunk ends the body");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    let digit = |index: u32| b"0123456789abcdef"[(length >> (4 * index)) & 0xf];
    out.extend((0..digits).rev().map(digit));
    out.extend(*b"\r\n");
}

/// The status line of a response in HTTP/1.1, which is our version whatever the
/// endpoint's (RFC 9110 §2.5). The space before an empty reason phrase is part of
/// it (RFC 9112 §4).
pub fn write_status_line(status: u16, reason: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(status.into(), out);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// One field line, in a head or in a trailer section.
pub fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `number` in digits, without leading zeros.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    // As many digits as `u64::MAX` has.
    let mut digits = [0; 20];
    let mut rest = number;
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}
