//! Access tokens: JSON Web Tokens signed with one key that all instances
//! share, so that a token issued by one is good at every other.
//!
//! The algorithm is HS256 and nothing else: what the header of a token says
//! about it is never believed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::domain::{TokenId, UserId};
use crate::secret::Secret;

/// Bytes of a key: the output size of SHA-256, below which RFC 7518 §3.2
/// forbids to go.
const KEY_LENGTH: usize = 32;

/// How far the clocks of the fleet may be apart: tokens are accepted for so much longer.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The last second that RFC 3339 can write, in the year 9999. Ours end earlier,
/// and whoever shows a session can rely on that.
const LAST_EXPIRY: u64 = 253_402_300_799;

/// The key that signs tokens.
#[derive(Debug, Clone)]
pub struct SigningKey(Secret<Vec<u8>>);

impl SigningKey {
    /// Reads the key from the file at `path`: its bytes, as they are. If there
    /// is no file, makes one with a random key that only its owner may read.
    ///
    /// Processes may do this at the same time: the file appears whole or not
    /// at all, and the first one stays.
    ///
    /// # Errors
    /// If the file cannot be read or made, or is too short for a key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        create(path).map_err(|source| KeyError::Create { path: path.to_owned(), source })?;
        Self::load(path)?.ok_or_else(|| KeyError::Read {
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        match fs::read(path) {
            Ok(bytes) if bytes.len() < KEY_LENGTH => {
                Err(KeyError::TooShort { path: path.to_owned(), length: bytes.len() })
            }
            Ok(bytes) => Ok(Some(Self(Secret::new(bytes)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::Read { path: path.to_owned(), source }),
        }
    }
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not there and cannot be made.
    #[error("cannot create {path}")]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error("{path} holds {length} bytes; a signing key has at least {KEY_LENGTH}")]
    TooShort {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        length: usize,
    },
}

/// Issues and verifies access tokens.
#[derive(Debug)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    time_to_live: Duration,
}

impl Tokens {
    /// Tokens signed with `key` and good for `time_to_live`, in whole seconds.
    pub fn new(key: &SigningKey, time_to_live: Duration) -> Self {
        let key = key.0.expose();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.as_secs();
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            time_to_live,
        }
    }

    /// How long a token is good for.
    pub fn time_to_live(&self) -> Duration {
        self.time_to_live
    }

    /// A token that says who `user` is, of this version of the user's tokens.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn issue(&self, user: UserId, version: i64) -> Result<Secret<String>, IssueError> {
        let issued_at = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            sub: user.to_string(),
            jti: TokenId::random().as_str().to_owned(),
            ver: version,
            iat: issued_at,
            exp: issued_at + self.time_to_live.as_secs(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(IssueError)?;
        Ok(Secret::new(token))
    }

    /// What a token says; whether it has been refused since is not for it to say.
    ///
    /// # Errors
    /// If the token is not one of ours, or its time is over. What exactly is
    /// wrong with it is nobody's business but that of its forger.
    pub fn verify(&self, token: &str) -> Result<Token, InvalidToken> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| InvalidToken)?
            .claims;
        if claims.exp > LAST_EXPIRY {
            return Err(InvalidToken);
        }
        Ok(Token {
            id: TokenId::parse(&claims.jti).map_err(|_| InvalidToken)?,
            user: UserId::parse(&claims.sub).map_err(|_| InvalidToken)?,
            version: claims.ver,
            expires_at: UNIX_EPOCH
                .checked_add(Duration::from_secs(claims.exp))
                .ok_or(InvalidToken)?,
        })
    }
}

/// What a token of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its identity.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// Of which version of the user's tokens it is.
    pub version: i64,
    /// When it ends.
    pub expires_at: SystemTime,
}

/// The cryptographic library failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a token")]
pub struct IssueError(#[source] jsonwebtoken::errors::Error);

/// The token is forged, malformed or expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token is invalid")]
pub struct InvalidToken;

/// RFC 7519 §4.1, and a version.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    ver: i64,
    iat: u64,
    exp: u64,
}

/// Puts a new key at `path`, unless somebody else has been faster.
fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_LENGTH];
    aws_lc_rs::rand::fill(&mut key).map_err(io::Error::other)?;

    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}-{:016x}.new", std::process::id(), fastrand::u64(..)));
    let draft = PathBuf::from(draft);

    let written = write_private(&draft, &key).and_then(|()| {
        // A link, unlike a rename, never replaces what is there.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    });
    // Should this fail, a stray file that only its owner can read remains;
    // the key is in place all the same.
    let _ = fs::remove_file(&draft);
    written
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(byte: u8) -> SigningKey {
        SigningKey(Secret::new(vec![byte; KEY_LENGTH]))
    }

    fn claims(iat: u64, exp: u64) -> Claims {
        Claims { sub: "7".to_owned(), jti: "0".repeat(32), ver: 0, iat, exp }
    }

    fn sign(header: &Header, claims: &Claims) -> String {
        let key = EncodingKey::from_secret(&[1; KEY_LENGTH]);
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    #[test]
    fn a_token_is_good_at_every_instance_with_the_key() {
        let token = Tokens::new(&key(1), HOUR).issue(UserId::from_stored(7), 3).unwrap();
        let other_instance = Tokens::new(&key(1), HOUR);
        let token = other_instance.verify(token.expose()).unwrap();
        assert_eq!((token.user, token.version), (UserId::from_stored(7), 3));
    }

    #[test]
    fn a_token_signed_with_another_key_is_refused() {
        let token = Tokens::new(&key(2), HOUR).issue(UserId::from_stored(7), 3).unwrap();
        assert_eq!(Tokens::new(&key(1), HOUR).verify(token.expose()), Err(InvalidToken));
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = claims(now, now + 60);
        let tokens = Tokens::new(&key(1), HOUR);

        let hs256 = sign(&Header::new(Algorithm::HS256), &claims);
        assert!(tokens.verify(&hs256).is_ok());

        let hs512 = sign(&Header::new(Algorithm::HS512), &claims);
        assert_eq!(tokens.verify(&hs512), Err(InvalidToken));

        // {"alg":"none","typ":"JWT"}, with no signature.
        let payload = hs256.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        assert_eq!(tokens.verify(&none), Err(InvalidToken));
    }

    #[test]
    fn an_expired_token_is_refused() {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = claims(now - 100, now - 10);
        let token = sign(&Header::new(Algorithm::HS256), &claims);
        assert_eq!(Tokens::new(&key(1), HOUR).verify(&token), Err(InvalidToken));
    }

    #[test]
    fn a_token_that_ends_after_all_dates_is_refused() {
        let tokens = Tokens::new(&key(1), HOUR);
        for (exp, is_good) in
            [(LAST_EXPIRY, true), (LAST_EXPIRY + 1, false), (i64::MAX as u64, false)]
        {
            let token = sign(&Header::new(Algorithm::HS256), &claims(0, exp));
            assert_eq!(tokens.verify(&token).is_ok(), is_good, "{exp}");
        }
    }

    #[test]
    fn processes_that_start_together_end_up_with_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SigningKey::load_or_create(&path).unwrap()))
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });

        assert!(keys.iter().all(|key| key.0.expose() == keys[0].0.expose()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no drafts are left");
    }

    #[test]
    fn a_short_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.key");
        fs::write(&path, "short").unwrap();
        assert!(matches!(
            SigningKey::load_or_create(&path),
            Err(KeyError::TooShort { length: 5, .. })
        ));
    }
}
