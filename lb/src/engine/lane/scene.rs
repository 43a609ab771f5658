//! What a response is judged by, beside what it says itself.

use super::failure::Failure;
use super::request::Request;
use super::upload::Upload;
use crate::engine::exchange::Exchange;
use crate::engine::retry::Repeat;
use crate::engine::{LiveUpstream, Shared};
use crate::head::ResponseHead;
use crate::response::Cause;

/// What a response is judged by.
pub(super) struct Scene<'s> {
    pub(super) request: &'s Request,
    pub(super) upload: &'s mut Upload,
    pub(super) exchange: &'s mut Exchange,
    pub(super) target: &'s LiveUpstream,
    pub(super) shared: &'s Shared,
}

impl Scene<'_> {
    /// What of the request could be sent again.
    pub(super) fn repeat(&self) -> Repeat {
        Repeat { held: self.upload.held, idempotent: self.request.idempotent }
    }
}

/// A switch of protocols must be to one that was asked for.
pub(super) fn require_switch(
    head: &ResponseHead<'_, '_>,
    exchange: &Exchange,
    asked: &[u8],
) -> Result<(), Failure> {
    let chosen = head.first("upgrade").unwrap_or_default();
    let mut asked = asked.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let was_asked = asked.any(|asked| asked.eq_ignore_ascii_case(chosen.trim_ascii()));
    if exchange.upgrade && head.upgrade && was_asked {
        return Ok(());
    }
    let detail = "the endpoint switches to a protocol that was not asked for";
    Err(Failure::last(Cause::UpstreamInvalidResponse, detail))
}
