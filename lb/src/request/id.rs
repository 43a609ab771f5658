//! Request ids: 128 random bits in hexadecimal.

/// An id of our own making, 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// From 128 random bits. Uniqueness is all that is asked of them; nothing
    /// trusts an id to be unguessable.
    pub fn from_random(bits: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (124 - 4 * index)) as usize & 0xf];
        }
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Whether an id that a trusted peer sent may be kept: 1 to 128 visible ASCII
/// characters, so that it can stand in a log line and a header as it is.
pub fn acceptable_request_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_digits() {
        assert_eq!(RequestId::from_random(0xab).as_str(), "000000000000000000000000000000ab");
        assert_eq!(RequestId::from_random(u128::MAX).as_str(), "f".repeat(32));
    }

    #[test]
    fn foreign_ids_must_be_short_and_visible() {
        assert!(acceptable_request_id(b"abc-123"));
        for bad in [&b""[..], b"a b", b"a\nb", &[b'a'; 129]] {
            assert!(!acceptable_request_id(bad));
        }
    }
}
