//! HTTP/1: one request after the other on a connection.
//!
//! Between two requests a connection is a socket and a deadline. When bytes
//! come, an exchange is made for them: the head is read and decided about here,
//! and what is forwarded goes to the engine as exactly one message.

use std::sync::Arc;
use std::time::SystemTime;

use ::pingora::protocols::http::ServerSession;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::{Served, stopping};
use super::linger;
use super::message::{Leftover, Message};
use super::transport::Transport;
use crate::engine::pingora::Arrived;
use crate::engine::{Live, OwnAnswer, cause_of, refuse};
use crate::head::{BodyDecoder, Framing, HeadError, HeadLimits, Refusal, Scanner, Slots, parse};
use crate::response::{Cause, Closing};

/// Room for a common head; the buffer grows with larger ones.
const BUFFER: usize = 4096;

/// As much of an unwanted body is read so that the connection can go on.
const UNWANTED_BODY: u64 = 64 * 1024;

/// And for how long.
const UNWANTED_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a connection that has just been used is kept when the process stops.
const MOMENT: std::time::Duration = std::time::Duration::from_secs(1);

/// How long saying goodbye may take.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

/// Carries requests until the connection cannot take another.
pub(super) async fn serve(mut transport: Transport, served: Served) {
    let served = &served;
    let mut input = BytesMut::new();
    let mut requests = 0;
    // When the last response was sent, or the connection made.
    let mut active = Instant::now();
    loop {
        if *input == *b"\r\n" {
            // An empty line behind the last request (RFC 9112 §2.2) begins none.
            input.clear();
        }
        if input.is_empty() {
            // Not even what the last request has left of its buffer.
            input = BytesMut::new();
            if wait(&mut transport, &mut input, active, served).await.is_none() {
                return;
            }
            if *input == *b"\r\n" {
                continue;
            }
        }
        requests += 1;
        let last = served.settings.limits.requests.is_some_and(|limit| requests >= limit);
        // Boxed, and gone with the request: an idle connection must be small.
        match Box::pin(exchange(transport, input, served, last)).await {
            Some(leftover) => Leftover { transport, input } = leftover,
            None => {
                if last && served.connection.fault().is_none() {
                    served.closed(Closing::RequestLimit);
                }
                return;
            }
        }
        active = Instant::now();
    }
}

/// Waits for the first bytes of a request. `None`: none will come.
///
/// When the process stops, a request may be on its way to a client that was told
/// "keep-alive" a moment ago: it gets a moment more (nginx: `keepalive_min_timeout`).
async fn wait(
    transport: &mut Transport,
    input: &mut BytesMut,
    active: Instant,
    served: &Served,
) -> Option<()> {
    let mut shutdown = served.shutdown.clone();
    let idle = served.settings.deadlines.idle;
    let waited = tokio::select! {
        biased;
        waited = timeout_at(active + idle, transport.wait(input)) => Some(waited),
        () = stopping(&mut shutdown) => None,
    };
    let waited = match waited {
        Some(waited) => waited,
        None => match timeout_at(active + MOMENT, transport.wait(input)).await {
            Ok(waited) => Ok(waited),
            Err(_) => {
                goodbye(transport).await;
                return None;
            }
        },
    };
    match waited {
        Ok(Ok(1..)) => Some(()),
        Ok(Ok(0) | Err(_)) => None,
        Err(_) => {
            served.closed(Closing::IdleTimeout);
            goodbye(transport).await;
            None
        }
    }
}

/// Ends TLS as it should be ended.
async fn goodbye(transport: &mut Transport) {
    let _ = timeout(GOODBYE, transport.shutdown()).await;
}

/// What reading a head came to.
enum Reading {
    /// It is complete, so many bytes.
    Head(usize),
    /// The client left before, or between, its bytes.
    Gone,
    /// It is no head.
    Refused(HeadError),
    /// It did not come in time.
    Late,
}

/// One request and its response.
async fn exchange(
    mut transport: Transport,
    mut input: BytesMut,
    served: &Served,
    last: bool,
) -> Option<Leftover> {
    let started = (Instant::now(), SystemTime::now());
    // Once: what a head may be and what happens to it is one configuration's.
    let live = served.engine.shared().live();
    let limits = live.snapshot.head_limits;
    match read_head(&mut transport, &mut input, &limits, served, started.0).await {
        Reading::Head(length) => {
            let head = input.split_to(length);
            take_up(transport, &head, input, served, live, last, started).await
        }
        Reading::Gone => None,
        Reading::Refused(error) => {
            refused(transport, &input, served, &error, started);
            None
        }
        Reading::Late => {
            served.closed(Closing::HeadTimeout);
            let error = "the head took too long".to_owned();
            let answer = refuse_with(served, Cause::RequestHeadTimeout, error, &input, started);
            linger::answer_and_close(transport, answer.bytes);
            None
        }
    }
}

async fn read_head(
    transport: &mut Transport,
    input: &mut BytesMut,
    limits: &HeadLimits,
    served: &Served,
    started: Instant,
) -> Reading {
    let deadline = started + served.settings.deadlines.head;
    let mut scanner = Scanner::default();
    loop {
        match scanner.find_end(input, limits) {
            Ok(Some(length)) => return Reading::Head(length),
            Ok(None) => {}
            Err(error) => return Reading::Refused(error),
        }
        input.reserve(BUFFER);
        match timeout_at(deadline, transport.read_buf(input)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Reading::Gone,
            Err(_) => return Reading::Late,
        }
    }
}

/// What becomes of a request whose head is complete.
enum Course {
    /// Refused for its head.
    Refused(HeadError),
    /// Answered by us; the body is to be read past.
    Answered(OwnAnswer, Framing),
    /// Carried by an engine: the canonical head, and what follows it.
    Carried(Arrived, BytesMut, Framing, Expects),
}

/// Whether the client waits to be told before it sends its body.
type Expects = bool;

/// Decides about a complete head. Apart from what waits, so that the slots of
/// the parser lie on the stack for a moment and in no task.
fn decide(
    head: &[u8],
    served: &Served,
    live: Arc<Live>,
    last: bool,
    started: (Instant, SystemTime),
) -> Course {
    let started = (started.0.into_std(), started.1);
    let limits = live.snapshot.head_limits;
    let mut slots = Slots::default();
    let head = match parse(head, &mut slots, &limits) {
        Ok(head) => head,
        Err(error) => return Course::Refused(error),
    };
    // A tunnel begins behind the head: there is no room for a body.
    let upgrade = head.upgrade
        && head.method == "GET"
        && matches!(head.framing, Framing::None | Framing::Length(0));
    let arrived = served.engine.arrive(live, &served.connection, &head, upgrade, last, started);
    if arrived.is_answered() {
        // A client that waits to be told may send its body or the next
        // request: no way to know.
        let readable = match head.framing {
            Framing::None => true,
            Framing::Length(length) => length <= UNWANTED_BODY && !head.expect_continue,
            Framing::Chunked => !head.expect_continue,
        };
        let framing = head.framing;
        if let Some(answer) = served.engine.answer(arrived, &head, head.keep_alive && readable) {
            return Course::Answered(answer, framing);
        }
        // Unreachable: the answer was there a moment ago.
        return Course::Refused(HeadError::NotOneHead);
    }
    let mut canonical = Vec::with_capacity(512);
    head.write_canonical_for(arrived.target(), &mut canonical);
    // Of the same memory: nobody else has it.
    let canonical = BytesMut::from(Bytes::from(canonical));
    Course::Carried(arrived, canonical, head.framing, head.expect_continue)
}

async fn take_up(
    transport: Transport,
    head: &[u8],
    input: BytesMut,
    served: &Served,
    live: Arc<Live>,
    last: bool,
    started: (Instant, SystemTime),
) -> Option<Leftover> {
    match decide(head, served, live, last, started) {
        Course::Refused(error) => {
            refused(transport, head, served, &error, started);
            None
        }
        Course::Answered(answer, framing) => {
            answered(transport, input, answer, framing, served).await
        }
        Course::Carried(arrived, canonical, framing, expects) => {
            let connection = Arc::clone(&served.connection);
            let pace = served.settings.deadlines.pace;
            let mut message = if arrived.is_upgrade() {
                Message::upgrade(transport, connection, canonical, input, pace)
            } else {
                Message::new(transport, connection, canonical, input, framing, pace)
            };
            if expects {
                message.wait_to_be_told();
            }
            let session = ServerSession::new_http1(Box::new(message));
            let reused = served.engine.carry(session, arrived, &served.shutdown).await;
            if let Some(fault) = served.connection.fault() {
                served.closed(match fault {
                    Cause::ClientBodyTimeout => Closing::BodyTooSlow,
                    Cause::ResponseTooSlow => Closing::ResponseTooSlow,
                    _ => return None,
                });
            }
            let (stream, _) = reused?.consume();
            // Err: it is not the stream that was handed over.
            let message = stream.into_any().downcast::<Message>().ok()?;
            message.finish().await
        }
    }
}

/// Sends an answer of our own, and reads past the body that came with its
/// request.
async fn answered(
    mut transport: Transport,
    mut input: BytesMut,
    answer: OwnAnswer,
    framing: Framing,
    served: &Served,
) -> Option<Leftover> {
    if !answer.keep_alive {
        linger::answer_and_close(transport, answer.bytes);
        return None;
    }
    let write = async {
        transport.write_all(&answer.bytes).await?;
        transport.flush().await
    };
    match timeout(served.settings.deadlines.pace.grace, write).await {
        Ok(written) => written.ok()?,
        Err(_) => {
            served.closed(Closing::ResponseTooSlow);
            return None;
        }
    }
    let read_past = async {
        let mut decoder = BodyDecoder::new(framing);
        let mut read = 0;
        while !decoder.is_done() {
            while !input.is_empty() && !decoder.is_done() {
                let step = decoder.decode(&input).ok()?;
                let _ = input.split_to(step.consumed);
            }
            if decoder.is_done() {
                break;
            }
            input.reserve(BUFFER);
            match transport.read_buf(&mut input).await {
                Ok(length @ 1..) if read < UNWANTED_BODY => read += length as u64,
                _ => return None,
            }
        }
        Some(())
    };
    match timeout(UNWANTED_PATIENCE, read_past).await {
        Ok(Some(())) => Some(Leftover { transport, input }),
        Ok(None) | Err(_) => {
            linger::answer_and_close(transport, Vec::new());
            None
        }
    }
}

/// Answers a head that is none, and ends the connection.
fn refused(
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

fn refuse_with(
    served: &Served,
    cause: Cause,
    error: String,
    seen: &[u8],
    started: (Instant, SystemTime),
) -> OwnAnswer {
    let started = (started.0.into_std(), started.1);
    refuse(served.engine.shared(), &served.connection, started, cause, error, seen)
}
