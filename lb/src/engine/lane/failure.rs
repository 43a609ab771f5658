//! What failed in an attempt, and what that means for it.

use std::borrow::Cow;
use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::engine::retry::{Kind, is_refused_handshake};
use crate::head::ResponseError;
use crate::response::Cause;

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) kind: Kind,
    /// For the log.
    pub(super) detail: Cow<'static, str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, kind, detail: detail.into() }
    }

    /// Sending again does not mend it.
    pub(super) fn last(cause: Cause, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(cause, Kind::Final, detail)
    }

    /// The client is gone.
    pub(super) fn client(error: Option<&io::Error>) -> Self {
        let detail = match error {
            Some(error) => format!("the client's connection broke: {error}").into(),
            None => Cow::Borrowed("the client has closed"),
        };
        Self::last(Cause::ClientClosed, detail)
    }

    /// The endpoint is gone before it answered.
    pub(super) fn reset(error: Option<&io::Error>) -> Self {
        let Some(error) = error else {
            return Self::new(
                Cause::UpstreamReset,
                Kind::Reset,
                "the endpoint closed the connection before it answered",
            );
        };
        let detail = format!("the connection to the endpoint broke: {error}");
        if is_refused_handshake(error) {
            return Self::new(Cause::UpstreamTlsFailed, Kind::Connect, detail);
        }
        Self::new(Cause::UpstreamReset, Kind::Reset, detail)
    }

    /// What the endpoint answers is not HTTP.
    pub(super) fn invalid(error: &ResponseError) -> Self {
        Self::last(Cause::UpstreamInvalidResponse, format!("the endpoint's response: {error}"))
    }

    /// No connection.
    pub(super) fn connect(error: &io::Error) -> Self {
        let detail = format!("cannot connect: {error}");
        // Our own want of ports or descriptors is not the endpoint's fault.
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL) => {
                Self::last(Cause::InternalError, detail)
            }
            _ => Self::new(Cause::UpstreamConnectFailed, Kind::Connect, detail),
        }
    }
}
