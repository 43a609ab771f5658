//! Fingerprints: what tells one set of settings, certificates or secrets from
//! another, and nothing of what is in it.

use aws_lc_rs::digest::{Context, SHA256};

/// The fingerprint of parts that come one after the other. Where one ends and the
/// next begins counts.
pub struct Fingerprint(Context);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Fingerprint {
    /// One part more.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// One part more, or that there is none.
    pub fn optional_part(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.part(bytes),
            // Nothing is as long as this.
            None => self.0.update(&u64::MAX.to_be_bytes()),
        }
    }

    /// Of all parts.
    pub fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[Option<&[u8]>]) -> [u8; 32] {
        let mut fingerprint = Fingerprint::default();
        parts.iter().for_each(|part| fingerprint.optional_part(*part));
        fingerprint.finish()
    }

    #[test]
    fn parts_are_not_taken_for_their_neighbours() {
        assert_eq!(of(&[Some(b"a"), Some(b"b")]), of(&[Some(b"a"), Some(b"b")]));
        assert_ne!(of(&[Some(b"ab")]), of(&[Some(b"a"), Some(b"b")]));
        assert_ne!(of(&[Some(b"a"), None]), of(&[None, Some(b"a")]));
        assert_ne!(of(&[None]), of(&[Some(b"")]));
    }
}
