//! Session tickets: resumption that needs no memory on our side (RFC 5077,
//! RFC 8446 §4.6.1).
//!
//! A ticket carries what the handshake has established, a verified client
//! certificate included. Accepted by a listener with other rules it would let
//! its bearer past them (CVE-2025-23419), so keys are derived per policy: what
//! one policy has encrypted is noise to every other.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, digest};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::client_auth::{ClientAuth, ClientAuthMode};
use super::ticket_secret::{EPOCH_SECONDS, ProcessSecret, TicketSecret, process_seconds};

/// Names a key without telling anything of it.
const NAME_BYTES: usize = 16;

/// AES-256.
const KEY_BYTES: usize = 32;

/// AES-GCM's.
const TAG_BYTES: usize = 16;

/// Longer than any ticket with a reasonable chain of client certificates in it,
/// and short enough to leave room in a ClientHello.
const LONGEST_TICKET: usize = 16 * 1024;

/// Where the keys of tickets come from.
#[derive(Debug, Clone)]
pub enum TicketSource {
    /// There are no tickets (nginx's `ssl_session_tickets off`).
    Off,
    /// A secret of this process; see [`ProcessSecret::shared`]. Tickets do not
    /// outlive it and are of no use to other nodes.
    Process(Arc<ProcessSecret>),
    /// Files that several nodes can have. The first encrypts, all decrypt. None
    /// at all is as good as [`TicketSource::Off`].
    Files(Vec<TicketSecret>),
}

/// What has to be equal for a ticket to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketPolicy([u8; digest::SHA256_OUTPUT_LEN]);

impl TicketPolicy {
    pub(super) fn new(only_tls13: bool, client_auth: Option<&ClientAuth>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"lb tls policy 1");
        context.update(&[u8::from(only_tls13)]);
        let Some(ClientAuth { authorities, mode }) = client_auth else {
            context.update(&[0]);
            return Self::of(context);
        };
        context.update(&[match mode {
            ClientAuthMode::Request => 1,
            ClientAuthMode::Require => 2,
        }]);
        // Their order in the file says nothing.
        let mut authorities: Vec<&[u8]> = authorities.iter().map(AsRef::as_ref).collect();
        authorities.sort_unstable();
        authorities.dedup();
        for authority in authorities {
            context.update(&(authority.len() as u64).to_be_bytes());
            context.update(authority);
        }
        Self::of(context)
    }

    fn of(context: digest::Context) -> Self {
        let mut policy = [0; digest::SHA256_OUTPUT_LEN];
        policy.copy_from_slice(context.finish().as_ref());
        Self(policy)
    }
}

/// Seconds of a clock that all who share the secret share: the Unix epoch's for
/// files, the process's own for its secret.
pub type TicketClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Makes and reads the tickets of one policy.
///
/// A ticket is the key's name, a random nonce, and what AES-256-GCM makes of
/// the session with the name as associated data. Keys change every six hours;
/// those of the period before still decrypt. Nothing here takes a lock.
pub struct Ticketer {
    policy: TicketPolicy,
    clock: TicketClock,
    source: Source,
    keys: ArcSwap<Keys>,
}

enum Source {
    Process(Arc<ProcessSecret>),
    Files(ArcSwap<Vec<TicketSecret>>),
}

/// The keys of one period.
struct Keys {
    epoch: u64,
    /// What [`TicketSource::Files`] held when they were derived; tells a change.
    secrets: Option<Arc<Vec<TicketSecret>>>,
    /// The first encrypts, too.
    decrypt: Vec<TicketKey>,
}

impl Ticketer {
    /// A ticketer on the clock that suits `source`; none if there are to be no
    /// tickets.
    pub fn new(policy: TicketPolicy, source: TicketSource) -> Result<Option<Self>, Unspecified> {
        let clock: TicketClock = match source {
            TicketSource::Off => return Ok(None),
            TicketSource::Process(_) => Arc::new(process_seconds),
            TicketSource::Files(_) => Arc::new(unix_seconds),
        };
        Self::with_clock(policy, source, clock)
    }

    /// The same on a clock of the caller's.
    pub fn with_clock(
        policy: TicketPolicy,
        source: TicketSource,
        clock: TicketClock,
    ) -> Result<Option<Self>, Unspecified> {
        let source = match source {
            TicketSource::Off => return Ok(None),
            TicketSource::Files(secrets) if secrets.is_empty() => return Ok(None),
            TicketSource::Process(secret) => Source::Process(secret),
            TicketSource::Files(secrets) => Source::Files(ArcSwap::from_pointee(secrets)),
        };
        let keys = ArcSwap::from_pointee(source.keys(policy, clock() / EPOCH_SECONDS)?);
        Ok(Some(Self { policy, clock, source, keys }))
    }

    /// Puts the content of files in the place of what there was. False if the
    /// secrets are not from files, or the same as before.
    pub fn replace(&self, secrets: Vec<TicketSecret>) -> bool {
        match &self.source {
            Source::Files(held) if **held.load() != secrets => {
                held.store(Arc::new(secrets));
                true
            }
            Source::Files(_) | Source::Process(_) => false,
        }
    }

    /// The keys of now. Deriving them is some microseconds of work, once a
    /// period; two threads that do it at once come to the same keys.
    fn keys(&self) -> Option<Arc<Keys>> {
        let epoch = (self.clock)() / EPOCH_SECONDS;
        let keys = self.keys.load();
        let current = match &self.source {
            // The process's clock does not go back.
            Source::Process(_) => keys.epoch >= epoch,
            Source::Files(held) => {
                let derived_from = keys.secrets.as_ref();
                keys.epoch == epoch
                    && derived_from.is_some_and(|secrets| Arc::ptr_eq(secrets, &held.load()))
            }
        };
        if current {
            return Some(Arc::clone(&keys));
        }
        let keys = Arc::new(self.source.keys(self.policy, epoch).ok()?);
        self.keys.store(Arc::clone(&keys));
        Some(keys)
    }
}

impl Source {
    fn keys(&self, policy: TicketPolicy, epoch: u64) -> Result<Keys, Unspecified> {
        match self {
            Self::Process(secret) => {
                let secrets = secret.at(epoch)?;
                let mut decrypt = vec![TicketKey::derive(&secrets.current, policy, secrets.epoch)?];
                if let Some(previous) = &secrets.previous {
                    decrypt.push(TicketKey::derive(previous, policy, secrets.epoch - 1)?);
                }
                Ok(Keys { epoch: secrets.epoch, secrets: None, decrypt })
            }
            Self::Files(held) => {
                let secrets = held.load_full();
                let mut decrypt = Vec::with_capacity(3 * secrets.len());
                for secret in secrets.iter() {
                    // The next as well: another node's clock may be ahead.
                    for epoch in [Some(epoch), epoch.checked_sub(1), epoch.checked_add(1)] {
                        let Some(epoch) = epoch else { continue };
                        decrypt.push(TicketKey::derive(secret, policy, epoch)?);
                    }
                }
                Ok(Keys { epoch, secrets: Some(secrets), decrypt })
            }
        }
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    /// As long as the keys of a period decrypt at most; a ticket from its end
    /// lasts half of that, and a client that comes later shakes hands in full.
    fn lifetime(&self) -> u32 {
        const { 2 * EPOCH_SECONDS as u32 }
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // The first is the first file's of the present period.
        self.keys()?.decrypt.first()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if cipher.len() > LONGEST_TICKET {
            return None;
        }
        let (name, rest) = cipher.split_first_chunk::<NAME_BYTES>()?;
        let keys = self.keys()?;
        keys.decrypt.iter().find(|key| key.is_named(name))?.decrypt(rest)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ticketer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

struct TicketKey {
    name: [u8; NAME_BYTES],
    key: RandomizedNonceKey,
}

impl TicketKey {
    fn derive(
        secret: &TicketSecret,
        policy: TicketPolicy,
        epoch: u64,
    ) -> Result<Self, Unspecified> {
        let mut derived = Zeroizing::new([0; NAME_BYTES + KEY_BYTES]);
        secret.derive(&[b"ticket key", &policy.0, &epoch.to_be_bytes()], &mut *derived)?;
        let (name, key) = derived.split_at(NAME_BYTES);
        Ok(Self {
            name: name.try_into().map_err(|_| Unspecified)?,
            key: RandomizedNonceKey::new(&AES_256_GCM, key)?,
        })
    }

    fn is_named(&self, name: &[u8; NAME_BYTES]) -> bool {
        constant_time::verify_slices_are_equal(&self.name, name).is_ok()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let length = NAME_BYTES + NONCE_LEN + plain.len() + TAG_BYTES;
        if length > LONGEST_TICKET {
            return None;
        }
        let mut sealed = Vec::with_capacity(plain.len() + TAG_BYTES);
        sealed.extend_from_slice(plain);
        let nonce = self.key.seal_in_place_append_tag(Aad::from(&self.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(length);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    /// `ticket` without the name.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut opened = sealed.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(&self.name), &mut opened).ok()?.len();
        opened.truncate(plain);
        Some(opened)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
#[path = "tickets_tests.rs"]
mod tests;
