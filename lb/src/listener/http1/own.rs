//! Answers of our own, and the bodies that come with what they answer.

use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::exchange::{Ending, UNWANTED_BODY};
use crate::engine::lane::Buffer;
use crate::engine::{OwnAnswer, cause_of, refuse};
use crate::head::{BodyDecoder, Framing, HeadError, Refusal};
use crate::listener::accept::Served;
use crate::listener::linger;
use crate::listener::transport::Transport;
use crate::response::{Cause, Closing};

/// How long an unwanted body is read.
const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);

/// What is read of it at once.
const PIECE: usize = 4096;

/// Sends an answer of our own, and reads past the body that came with its
/// request.
pub(super) async fn answered(
    mut transport: Transport,
    input: &mut Buffer,
    answer: OwnAnswer,
    framing: Framing,
    served: &Served,
) -> Ending {
    if !answer.keep_alive {
        linger::answer_and_close(transport, answer.bytes);
        return Ending::Closed;
    }
    let write = async {
        transport.write_all(&answer.bytes).await?;
        transport.flush().await
    };
    match timeout(served.settings.deadlines.pace.grace, write).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Ending::Closed,
        Err(_) => {
            served.closed(Closing::ResponseTooSlow);
            return Ending::Closed;
        }
    }
    match timeout(UNWANTED_PATIENCE, read_past(&mut transport, input, framing)).await {
        Ok(Some(())) => Ending::Next(transport),
        Ok(None) | Err(_) => {
            linger::answer_and_close(transport, Vec::new());
            Ending::Closed
        }
    }
}

async fn read_past(transport: &mut Transport, input: &mut Buffer, framing: Framing) -> Option<()> {
    let mut decoder = BodyDecoder::new(framing);
    let mut read = 0;
    while !decoder.is_done() {
        while !input.is_empty() && !decoder.is_done() {
            let step = decoder.decode(input.bytes()).ok()?;
            input.take(step.consumed);
        }
        if decoder.is_done() {
            break;
        }
        input.make_room(PIECE);
        match std::future::poll_fn(|cx| input.poll_fill(cx, transport)).await {
            Ok(length @ 1..) if read < UNWANTED_BODY => read += length as u64,
            _ => return None,
        }
    }
    Some(())
}

/// Answers a head that is none, and ends the connection.
pub(super) fn refused(
    transport: Transport,
    seen: &[u8],
    served: &Served,
    error: &HeadError,
    started: (Instant, SystemTime),
) {
    if error.refusal() == Refusal::NotHttp {
        let tls = matches!(error, HeadError::TlsOnPlain);
        if tls && !served.connection.tls {
            // An answer in clear would be an alert of nonsense to it.
            served.closed(Closing::TlsOnHttp);
            linger::answer_and_close(transport, TLS_REFUSAL.to_vec());
            return;
        }
    }
    let answer = refuse_with(served, cause_of(error), error.to_string(), seen, started);
    linger::answer_and_close(transport, answer.bytes);
}

/// The alert `unrecognized_name`'s plain sister: fatal, `protocol_version`
/// (RFC 8446 §6). A client that speaks TLS understands it.
const TLS_REFUSAL: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 70];

pub(super) fn refuse_with(
    served: &Served,
    cause: Cause,
    error: String,
    seen: &[u8],
    started: (Instant, SystemTime),
) -> OwnAnswer {
    let started = (started.0.into_std(), started.1);
    refuse(served.engine.shared(), &served.connection, started, cause, error, seen)
}
