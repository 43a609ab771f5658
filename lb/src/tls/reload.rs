//! Files that change while a listener is in use. What is found changed is
//! loaded anew and put in the place of the old; what is broken is reported, and
//! the old one stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::store::CertificateStore;
use super::ticket_secret::{TicketKeyError, TicketSecret};
use super::tickets::Ticketer;
use super::{CertificateError, LoadedCertificate, load_certificate, load_password};

/// How often files are read that change while they are read. After that it is
/// left to the next time.
const ATTEMPTS: usize = 3;

/// How far apart changes have to be for the times of a file to tell them apart,
/// with room for file systems that count in seconds. What has changed within it
/// is loaded once more the next time.
const TICK: Duration = Duration::from_secs(2);

/// Where a certificate comes from.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// Where the password of the key is, if it has one.
    pub password_file: Option<PathBuf>,
}

impl CertificateFiles {
    /// The password of the key, as it is now.
    pub(super) fn password(&self) -> Result<Option<Zeroizing<Vec<u8>>>, CertificateError> {
        self.password_file.as_deref().map(load_password).transpose()
    }
}

/// What has come of files that changed.
#[derive(Debug)]
pub enum ReloadOutcome {
    /// A certificate has been put in the place of the old.
    Reloaded {
        /// The listener's name.
        listener: Arc<str>,
        /// The certificate's file.
        file: PathBuf,
        /// The DNS names of the new one.
        names: Vec<String>,
        /// When it expires, in seconds since the epoch.
        expires: i64,
    },
    /// Keys for tickets have been put in the place of the old.
    TicketKeysReloaded {
        /// The listener's name.
        listener: Arc<str>,
        /// The file that encrypts.
        file: PathBuf,
    },
    /// The new files cannot be used; what was there before stays.
    Failed {
        /// The listener's name.
        listener: Arc<str>,
        /// The certificate's file, or the file of ticket keys.
        file: PathBuf,
        /// Why.
        error: ReloadError,
    },
}

/// Why files that changed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A certificate or its key is at fault.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A file of ticket keys is at fault.
    #[error(transparent)]
    TicketKeys(#[from] TicketKeyError),
}

/// Knows what each listener has from which files. It does nothing by itself:
/// somebody has to call [`Reloader::poll`], [`super::watch()`] for instance.
#[derive(Debug, Default)]
pub struct Reloader {
    certificates: Vec<Watched<CertificateSource>>,
    ticket_keys: Vec<Watched<TicketKeySource>>,
}

impl Reloader {
    /// One without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the certificates of a listener: `files` in the order in which
    /// `store` was given what they hold.
    pub fn add_certificates(
        &mut self,
        listener: impl Into<Arc<str>>,
        files: Vec<CertificateFiles>,
        store: &Arc<CertificateStore>,
    ) {
        let listener = listener.into();
        for (index, files) in files.into_iter().enumerate() {
            let source = CertificateSource { files, index, store: Arc::clone(store) };
            self.certificates.push(Watched::new(Arc::clone(&listener), source));
        }
    }

    /// Adds a listener's files of ticket keys, the one that encrypts first.
    pub fn add_ticket_keys(
        &mut self,
        listener: impl Into<Arc<str>>,
        files: Vec<PathBuf>,
        ticketer: &Arc<Ticketer>,
    ) {
        let source = TicketKeySource { files, ticketer: Arc::clone(ticketer) };
        self.ticket_keys.push(Watched::new(listener.into(), source));
    }

    /// Looks at every file and loads what has changed. The first call loads
    /// everything, for nobody knows what has changed since it was loaded; what
    /// is the same then makes no outcome. Failures are tried again at each call
    /// and reported again once the files or the failure are others.
    pub fn poll(&mut self) -> Vec<ReloadOutcome> {
        let certificates = self.certificates.iter_mut().filter_map(Watched::poll);
        let ticket_keys = self.ticket_keys.iter_mut().filter_map(Watched::poll);
        certificates.chain(ticket_keys).collect()
    }

    /// The directories in which something happens when a file changes: those of
    /// the paths as they are written, where Kubernetes swaps its `..data`, and
    /// those that links lead to, where files are overwritten.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let certificates = self.certificates.iter().flat_map(|watched| watched.source.paths());
        let ticket_keys = self.ticket_keys.iter().flat_map(|watched| watched.source.paths());
        let mut directories = BTreeSet::new();
        for path in certificates.chain(ticket_keys) {
            let canonical = fs::canonicalize(path).ok();
            for path in std::iter::once(path).chain(canonical.as_deref()) {
                directories.extend(path.parent().map(directory));
            }
        }
        directories
    }
}

/// The parent of a bare file name is the empty path.
fn directory(parent: &Path) -> PathBuf {
    if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_path_buf() }
}

/// Something that is loaded from files and put where it is used.
trait Source {
    fn paths(&self) -> Vec<&Path>;

    /// None if there is nothing new in them. `recovered`: the last load failed,
    /// so that it is news that this one has not.
    fn load(
        &self,
        listener: &Arc<str>,
        recovered: bool,
    ) -> Result<Option<ReloadOutcome>, ReloadError>;
}

/// Files with what is known of them.
#[derive(Debug)]
struct Watched<S> {
    listener: Arc<str>,
    source: S,
    /// As they were at the last load.
    seen: Option<Vec<Option<Identity>>>,
    /// Whether they had only just changed then; see [`TICK`].
    fresh: bool,
    /// Why the last load failed, if it did.
    failure: Option<String>,
}

impl<S: Source> Watched<S> {
    fn new(listener: Arc<str>, source: S) -> Self {
        Self { listener, source, seen: None, fresh: false, failure: None }
    }

    fn poll(&mut self) -> Option<ReloadOutcome> {
        let mut now = self.identities();
        let changed = self.seen.as_ref() != Some(&now);
        if !changed && !self.fresh && self.failure.is_none() {
            return None;
        }
        let mut result = self.source.load(&self.listener, self.failure.is_some());
        for _ in 1..ATTEMPTS {
            // Identities from before the load: a change during it is seen now,
            // or the next time.
            let after = self.identities();
            if result.is_ok() || after == now {
                break;
            }
            now = after;
            result = self.source.load(&self.listener, self.failure.is_some());
        }
        self.fresh = now.iter().flatten().any(Identity::is_fresh);
        self.seen = Some(now);
        match result {
            Ok(outcome) => {
                self.failure = None;
                outcome
            }
            Err(error) => {
                let text = error.to_string();
                let known = !changed && self.failure.as_ref() == Some(&text);
                self.failure = Some(text);
                let file = self.source.paths().first().map(|path| path.to_path_buf());
                (!known).then(|| ReloadOutcome::Failed {
                    listener: Arc::clone(&self.listener),
                    file: file.unwrap_or_default(),
                    error,
                })
            }
        }
    }

    fn identities(&self) -> Vec<Option<Identity>> {
        self.source.paths().into_iter().map(Identity::of).collect()
    }
}

/// What tells one file from another without reading it. The path is the one
/// that links lead to; the time of the inode's last change stands for renames,
/// permissions and writers that set the time of modification back.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let metadata = fs::metadata(&path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            path,
        })
    }

    /// Also true of times that are yet to come: nothing can be told from them.
    fn is_fresh(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        now.saturating_sub(changed) < TICK
    }
}

/// A pair of files and its place in a store.
#[derive(Debug)]
struct CertificateSource {
    files: CertificateFiles,
    index: usize,
    store: Arc<CertificateStore>,
}

impl Source for CertificateSource {
    fn paths(&self) -> Vec<&Path> {
        let CertificateFiles { cert, key, password_file } = &self.files;
        [Some(cert), Some(key), password_file.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect()
    }

    fn load(
        &self,
        listener: &Arc<str>,
        recovered: bool,
    ) -> Result<Option<ReloadOutcome>, ReloadError> {
        let CertificateFiles { cert, key, password_file: _ } = &self.files;
        let password = self.files.password()?;
        let loaded = load_certificate(cert, key, password.as_ref().map(|word| word.as_slice()))?;
        let LoadedCertificate { names, expires, .. } = loaded.clone();
        let mut certificates = self.store.certificates();
        let Some(held) = certificates.get_mut(self.index) else { return Ok(None) };
        // The same chain has the same key, or it would not match.
        let new = held.key.cert != loaded.key.cert;
        if new {
            *held = loaded;
            // It cannot be empty: there is at least the one just put in.
            let _ = self.store.replace(certificates);
        }
        let (listener, file) = (Arc::clone(listener), cert.clone());
        Ok((new || recovered).then(|| ReloadOutcome::Reloaded { listener, file, names, expires }))
    }
}

/// The files of a ticketer.
#[derive(Debug)]
struct TicketKeySource {
    files: Vec<PathBuf>,
    ticketer: Arc<Ticketer>,
}

impl Source for TicketKeySource {
    fn paths(&self) -> Vec<&Path> {
        self.files.iter().map(PathBuf::as_path).collect()
    }

    fn load(
        &self,
        listener: &Arc<str>,
        recovered: bool,
    ) -> Result<Option<ReloadOutcome>, ReloadError> {
        let secrets = self.files.iter().map(|file| TicketSecret::load(file));
        let new = self.ticketer.replace(secrets.collect::<Result<_, _>>()?);
        let listener = Arc::clone(listener);
        let file = self.files.first().cloned().unwrap_or_default();
        Ok((new || recovered).then(|| ReloadOutcome::TicketKeysReloaded { listener, file }))
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
