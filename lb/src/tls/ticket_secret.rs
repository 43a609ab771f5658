//! The secrets that ticket keys are derived from: one of this process, or those
//! of files, which several nodes can have. A secret encrypts nothing by itself.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// What is random in a secret of this process: as much as HKDF-SHA256 gives.
const SECRET_BYTES: usize = 32;

/// Less than this from a file could be guessed.
const LEAST_BYTES: usize = 32;

/// nginx's files have 48 bytes (AES-128) or 80 (AES-256); anything much longer
/// is not a secret but the wrong file.
const MOST_BYTES: usize = 4096;

/// Separates what is derived here from what anything else derives from the same
/// bytes, nginx in the first place.
const SALT: &[u8] = b"lb tls session tickets 1";

/// For how long the encrypting key stays the same, in seconds. Tickets of the
/// period before are still accepted, so that none lives longer than twice this.
/// It also bounds what is encrypted under one key with random nonces: at most
/// 2³² messages (NIST SP 800-38D §8.3), which is 200 000 tickets a second.
pub(super) const EPOCH_SECONDS: u64 = 6 * 60 * 60;

/// Why a file of ticket keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    /// The file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is too short or too long.
    #[error(
        "{file} has {bytes} bytes; ticket keys are 32 random bytes or more, \
         for instance from openssl rand 80"
    )]
    Size {
        /// The file.
        file: String,
        /// How many bytes it has.
        bytes: u64,
    },
    /// The file has one byte over and over.
    #[error("{file} is not random")]
    NotRandom {
        /// The file.
        file: String,
    },
}

/// The content of a file of ticket keys.
#[derive(Clone)]
pub struct TicketSecret {
    extracted: Arc<hkdf::Prk>,
    /// Derived as well; tells secrets apart without keeping their bytes.
    fingerprint: [u8; 16],
}

impl TicketSecret {
    /// Reads a file of at least 32 random bytes.
    pub fn load(path: &Path) -> Result<Self, TicketKeyError> {
        let file = path.display().to_string();
        let unreadable =
            |error| TicketKeyError::Unreadable { file: path.display().to_string(), error };
        // Before reading it: the path could be that of a disk.
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > MOST_BYTES as u64 {
            return Err(TicketKeyError::Size { file, bytes });
        }
        let secret = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        if secret.len() < LEAST_BYTES || secret.len() > MOST_BYTES {
            return Err(TicketKeyError::Size { file, bytes: secret.len() as u64 });
        }
        if secret.iter().all(|byte| *byte == secret[0]) {
            return Err(TicketKeyError::NotRandom { file });
        }
        Ok(Self::new(&secret))
    }

    /// Tells secrets apart, and says nothing of them.
    pub(super) fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    pub(super) fn new(bytes: &[u8]) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(bytes);
        let mut fingerprint = [0; 16];
        // It fails for more than 255 times the hash's length, by RFC 5869 §2.3.
        let _ = expand(&extracted, &[b"fingerprint"], &mut fingerprint);
        Self { extracted: Arc::new(extracted), fingerprint }
    }

    pub(super) fn derive(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
        expand(&self.extracted, info, out)
    }
}

impl PartialEq for TicketSecret {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for TicketSecret {}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TicketSecret").finish_non_exhaustive()
    }
}

/// A secret that is made when the process starts and goes when it ends. With
/// each epoch it is replaced by one derived from it, so that nothing in memory
/// decrypts tickets that are past their life.
pub struct ProcessSecret {
    secrets: ArcSwap<ProcessSecrets>,
}

/// The secrets at one time.
#[derive(Clone)]
pub(super) struct ProcessSecrets {
    pub(super) epoch: u64,
    pub(super) current: TicketSecret,
    /// That of the epoch before, if there was anybody to use it.
    pub(super) previous: Option<TicketSecret>,
}

impl ProcessSecret {
    /// The one that every listener of this process shares; it outlives reloads.
    pub fn shared() -> Result<Arc<Self>, Unspecified> {
        static SHARED: OnceLock<Arc<ProcessSecret>> = OnceLock::new();
        if let Some(shared) = SHARED.get() {
            return Ok(Arc::clone(shared));
        }
        let fresh = Arc::new(Self::random()?);
        Ok(Arc::clone(SHARED.get_or_init(|| fresh)))
    }

    /// A new one.
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes)?;
        let current = TicketSecret::new(&*bytes);
        let secrets = ProcessSecrets { epoch: 0, current, previous: None };
        Ok(Self { secrets: ArcSwap::from_pointee(secrets) })
    }

    /// Moves on to `epoch`, never back: who has read the clock a little earlier
    /// gets what is there.
    pub(super) fn at(&self, epoch: u64) -> Result<Arc<ProcessSecrets>, Unspecified> {
        loop {
            let now = self.secrets.load();
            if now.epoch >= epoch {
                return Ok(Arc::clone(&now));
            }
            let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
            now.current.derive(&[b"next epoch", &epoch.to_be_bytes()], &mut *bytes)?;
            let next = Arc::new(ProcessSecrets {
                epoch,
                current: TicketSecret::new(&*bytes),
                previous: (now.epoch + 1 == epoch).then(|| now.current.clone()),
            });
            let found = self.secrets.compare_and_swap(&*now, Arc::clone(&next));
            if Arc::ptr_eq(&found, &now) {
                return Ok(next);
            }
        }
    }
}

impl fmt::Debug for ProcessSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProcessSecret").finish_non_exhaustive()
    }
}

/// Seconds since the process first asked: a clock that nobody sets.
pub(super) fn process_seconds() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed().as_secs()
}

fn expand(secret: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    secret.expand(info, Length(out.len()))?.fill(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_nginx_are_accepted_and_short_ones_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticket.key");
        for (bytes, accepted) in
            [(0, false), (31, false), (32, true), (48, true), (80, true), (5000, false)]
        {
            let mut content = vec![0; bytes];
            aws_lc_rs::rand::fill(&mut content).expect("random bytes");
            std::fs::write(&path, content).expect("written");
            let loaded = TicketSecret::load(&path);
            assert_eq!(loaded.is_ok(), accepted, "{bytes}: {loaded:?}");
        }
        std::fs::write(&path, [0; 48]).expect("written");
        assert!(matches!(TicketSecret::load(&path), Err(TicketKeyError::NotRandom { .. })));
        let none = TicketSecret::load(&directory.path().join("none"));
        assert!(matches!(none, Err(TicketKeyError::Unreadable { .. })));
    }

    #[test]
    fn the_secret_of_an_epoch_is_gone_after_the_next() {
        let secret = ProcessSecret::random().expect("random bytes");
        let first = secret.at(0).expect("derived").current.clone();
        let second = secret.at(1).expect("derived");
        assert_eq!(second.previous.as_ref(), Some(&first));
        assert_ne!(second.current, first);
        let third = secret.at(2).expect("derived");
        assert_eq!(third.previous.as_ref(), Some(&second.current));
        // A gap: nobody has used the secret of epoch 8.
        assert!(secret.at(9).expect("derived").previous.is_none());
        assert_eq!(secret.at(3).expect("derived").epoch, 9, "never back");
    }
}
