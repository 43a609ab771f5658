//! Field lines: where they are kept, and what their bytes may be.

use std::{fmt, mem::MaybeUninit};

/// The most fields a head may have, whatever the configured limit: the storage
/// lies on the stack, 32 bytes each.
pub const MAX_FIELDS: usize = 256;

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name, a token, as it was sent.
    pub name: &'b str,
    /// The value without the whitespace around it; HTAB, visible ASCII, spaces
    /// and bytes above 0x7f.
    pub value: &'b [u8],
}

/// Where `parse` keeps the fields of one head. Not initialised, hence free.
pub struct Slots<'b>(pub(super) [MaybeUninit<httparse::Header<'b>>; MAX_FIELDS]);

impl Slots<'_> {
    /// Empty storage.
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Slots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").finish_non_exhaustive()
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether `bytes` is a token: not empty, and of token bytes only.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` may stand in a field value (RFC 9110 §5.5).
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110
/// §5.6.1.2). Quoted strings are not known: use it for lists of tokens.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// `bytes` without the spaces and tabs around it, which is OWS; unlike
/// `trim_ascii`, which takes other whitespace away too.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let outside = |byte: &u8| !matches!(byte, b' ' | b'\t');
    match (bytes.iter().position(outside), bytes.iter().rposition(outside)) {
        (Some(first), Some(last)) => &bytes[first..=last],
        _ => &[],
    }
}
