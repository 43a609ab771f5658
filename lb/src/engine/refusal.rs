//! Answers of our own on HTTP/1, as bytes: no engine is troubled for them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::answer::{Answer, Written};
use super::arrival;
use super::exchange::Exchange;
use super::record::{Facts, Finished, record};
use super::{Connection, Shared};
use crate::head::{HeadError, Refusal};
use crate::response::Cause;

/// As much of a refused head as the log shows of its first line.
const SHOWN: usize = 256;

/// A response that is ready to be sent, and recorded already.
#[derive(Debug)]
pub struct OwnAnswer {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Whether it lets the client send another request.
    pub keep_alive: bool,
}

/// Answers a request that was understood. `keep_alive`: whether the connection
/// could take another.
pub(super) fn answer(
    shared: &Shared,
    exchange: &mut Exchange,
    answer: Answer,
    facts: &Facts<'_>,
    keep_alive: bool,
) -> OwnAnswer {
    let written = answer.into_http1(exchange, facts.method == "HEAD", keep_alive);
    record(shared, exchange, facts, finished(&written));
    OwnAnswer { bytes: written.bytes, keep_alive: written.keep_alive }
}

fn finished(written: &Written) -> Finished {
    Finished {
        status: written.status.as_u16(),
        bytes_sent: written.body as u64,
        ..Finished::default()
    }
}

/// Answers what was not understood, or did not come to its end. `seen` is what
/// came of it; the connection ends after this.
pub fn refuse(
    shared: &Shared,
    connection: &Arc<Connection>,
    started: (Instant, SystemTime),
    cause: Cause,
    error: String,
    seen: &[u8],
) -> OwnAnswer {
    let mut exchange = arrival::begin(connection.era.live(shared), connection, started);
    exchange.error = Some(error);
    // As well as it can be told: the line may be anything.
    let seen = &seen[..seen.len().min(SHOWN)];
    let line = seen.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let mut words = line.split(' ');
    let known = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    let (method, target) = match (words.next().filter(known), words.next().filter(known)) {
        (Some(method), Some(target)) => (method, target),
        _ => ("-", &*line),
    };
    let written = Answer::from(cause).into_http1(&mut exchange, method == "HEAD", false);
    let facts = Facts {
        method: method.into(),
        host: None,
        raw_target: target.into(),
        protocol: "HTTP/1.1",
        user_agent: None,
        referer: None,
    };
    record(shared, &mut exchange, &facts, finished(&written));
    exchange.retire();
    OwnAnswer { bytes: written.bytes, keep_alive: false }
}

/// The cause of a head that was refused.
pub fn cause_of(error: &HeadError) -> Cause {
    match error.refusal() {
        Refusal::BadRequest
            if matches!(error, HeadError::HostContradictsTarget | HeadError::RepeatedHost) =>
        {
            Cause::BadHost
        }
        Refusal::BadRequest => Cause::BadRequest,
        Refusal::BadFraming => Cause::BadFraming,
        Refusal::UriTooLong => Cause::UriTooLong,
        Refusal::HeadersTooLarge => Cause::HeadersTooLarge,
        Refusal::VersionNotSupported => Cause::VersionNotSupported,
        Refusal::NotHttp => Cause::WrongProtocol,
    }
}
