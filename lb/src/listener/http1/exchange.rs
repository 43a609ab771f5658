//! One request and its response.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use ::pingora::protocols::http::ServerSession;
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::own::{answered, refuse_with, refused};
use super::{Tunnel, Workspace, goodbye};
use crate::engine::lane::{After, Buffer, Taken};
use crate::engine::{Arrived, Live, OwnAnswer};
use crate::head::{Framing, HeadError, HeadLimits, Scanner, Slots, parse};
use crate::listener::accept::Served;
use crate::listener::linger;
use crate::listener::message::{Leftover, Message};
use crate::listener::transport::Transport;
use crate::response::{Cause, Closing};
use crate::timer::Alarm;

/// Room for a common head; the buffer grows with larger ones.
const BUFFER: usize = 4096;

/// As much of an unwanted body is read so that the connection can go on.
pub(super) const UNWANTED_BODY: u64 = 64 * 1024;

/// What becomes of the connection.
pub(super) enum Ending {
    Next(Transport),
    Tunnel(Transport, Box<Tunnel>),
    Closed,
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

pub(super) async fn exchange(
    mut transport: Transport,
    work: &mut Workspace,
    alarm: &mut Alarm,
    served: &Served,
    last: bool,
) -> Ending {
    let started = (Instant::now(), SystemTime::now());
    // Once: what a head may be and what happens to it is one configuration's.
    let live = served.connection.era.live(served.engine.shared());
    let limits = live.snapshot.head_limits;
    let input = &mut work.input;
    match read_head(&mut transport, input, &limits, served, started.0, alarm).await {
        Reading::Head(length) => {
            let course = decide(work, length, served, live, last, started);
            take_up(course, transport, work, alarm, served, started).await
        }
        Reading::Gone => Ending::Closed,
        Reading::Refused(error) => {
            refused(transport, work.input.bytes(), served, &error, started);
            Ending::Closed
        }
        Reading::Late => {
            served.closed(Closing::HeadTimeout);
            let error = "the head took too long".to_owned();
            let seen = work.input.bytes();
            let answer = refuse_with(served, Cause::RequestHeadTimeout, error, seen, started);
            linger::answer_and_close(transport, answer.bytes);
            Ending::Closed
        }
    }
}

async fn read_head(
    transport: &mut Transport,
    input: &mut Buffer,
    limits: &HeadLimits,
    served: &Served,
    started: Instant,
    alarm: &mut Alarm,
) -> Reading {
    let mut scanner = Scanner::default();
    poll_fn(|cx| {
        loop {
            match scanner.find_end(input.bytes(), limits) {
                Ok(Some(length)) => return Poll::Ready(Reading::Head(length)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Reading::Refused(error)),
            }
            input.make_room(BUFFER);
            match input.poll_fill(cx, transport) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Reading::Gone),
                Poll::Pending => {
                    match started.checked_add(served.settings.deadlines.head) {
                        Some(at) => alarm.set(at),
                        None => alarm.clear(),
                    }
                    return alarm.poll(cx).map(|()| Reading::Late);
                }
            }
        }
    })
    .await
}

/// What becomes of a request whose head is complete.
enum Course {
    /// Refused for its head, which was so long.
    Refused(HeadError, usize),
    /// Answered by us; the body is to be read past.
    Answered(OwnAnswer, Framing),
    /// Carried by the lane.
    Lane(Taken),
    /// Carried by Pingora: the canonical head, and what follows it.
    Pingora(Arrived, BytesMut, Framing, Expects),
}

/// Whether the client waits to be told before it sends its body.
type Expects = bool;

/// Decides about a complete head. Apart from what waits, so that the slots of
/// the parser lie on the stack for a moment and in no task.
fn decide(
    work: &mut Workspace,
    length: usize,
    served: &Served,
    live: Arc<Live>,
    last: bool,
    started: (Instant, SystemTime),
) -> Course {
    let started = (started.0.into_std(), started.1);
    let limits = live.snapshot.head_limits;
    let mut slots = Slots::default();
    let (input, draft) = work.split();
    let head = match parse(&input.bytes()[..length], &mut slots, &limits) {
        Ok(head) => head,
        Err(error) => return Course::Refused(error, length),
    };
    // A tunnel begins behind the head: there is no room for a body.
    let upgrade = head.upgrade
        && head.method == "GET"
        && matches!(head.framing, Framing::None | Framing::Length(0));
    let engine = &served.engine;
    let arrived = engine.arrive(live, &served.connection, &head, upgrade, last, started);
    let framing = head.framing;
    let course = if arrived.is_answered() {
        // A client that waits to be told may send its body or the next
        // request: no way to know.
        let readable = match framing {
            Framing::None => true,
            Framing::Length(length) => length <= UNWANTED_BODY && !head.expect_continue,
            Framing::Chunked => !head.expect_continue,
        };
        match engine.answer(arrived, &head, head.keep_alive && readable) {
            Some(answer) => Course::Answered(answer, framing),
            // Unreachable: the answer was there a moment ago.
            None => return Course::Refused(HeadError::NotOneHead, length),
        }
    } else if arrived.fits_the_lane() {
        match engine.lane.take_up(&head, arrived, draft) {
            Some(taken) => Course::Lane(taken),
            // Unreachable: it is forwarded, or it would have been answered.
            None => return Course::Refused(HeadError::NotOneHead, length),
        }
    } else {
        let mut canonical = Vec::with_capacity(512);
        head.write_canonical_for(arrived.target(), &mut canonical);
        // Of the same memory: nobody else has it.
        let canonical = BytesMut::from(Bytes::from(canonical));
        Course::Pingora(arrived, canonical, framing, head.expect_continue)
    };
    work.input.take(length);
    course
}

async fn take_up(
    course: Course,
    mut transport: Transport,
    work: &mut Workspace,
    alarm: &mut Alarm,
    served: &Served,
    started: (Instant, SystemTime),
) -> Ending {
    let after = match course {
        Course::Refused(error, length) => {
            refused(transport, &work.input.bytes()[..length], served, &error, started);
            return Ending::Closed;
        }
        Course::Answered(answer, framing) => {
            return answered(transport, &mut work.input, answer, framing, served).await;
        }
        Course::Pingora(arrived, canonical, framing, expects) => {
            // Boxed: it is as large as all the rest, and rare.
            let carried =
                with_pingora(transport, work, arrived, canonical, framing, expects, served);
            return Box::pin(carried).await;
        }
        Course::Lane(taken) => {
            let pace = served.settings.deadlines.pace;
            served.engine.lane.carry(taken, &mut transport, work, alarm, pace).await
        }
    };
    count_fault(served);
    match after {
        After::Next => return Ending::Next(transport),
        After::Tunnel(tunnel) => return Ending::Tunnel(transport, tunnel),
        After::Answer(answer) => {
            return answered(transport, &mut work.input, answer, Framing::None, served).await;
        }
        After::Linger => linger::answer_and_close(transport, Vec::new()),
        // Closing the socket says it all, unless there is TLS to be closed.
        After::Close if served.connection.tls => goodbye(&mut transport).await,
        After::Reset => transport.reset(),
        After::Close | After::Abort => {}
    }
    Ending::Closed
}

async fn with_pingora(
    transport: Transport,
    work: &mut Workspace,
    arrived: Arrived,
    canonical: BytesMut,
    framing: Framing,
    expects: Expects,
    served: &Served,
) -> Ending {
    let connection = Arc::clone(&served.connection);
    let pace = served.settings.deadlines.pace;
    let input = BytesMut::from(work.input.bytes());
    work.input.clear();
    let mut message = if arrived.is_upgrade() {
        Message::upgrade(transport, connection, canonical, input, pace)
    } else {
        Message::new(transport, connection, canonical, input, framing, pace)
    };
    if expects {
        message.wait_to_be_told();
    }
    let session = ServerSession::new_http1(Box::new(message));
    let reused = served.engine.pingora.carry(session, arrived).await;
    if count_fault(served) {
        return Ending::Closed;
    }
    let Some(reused) = reused else { return Ending::Closed };
    let (stream, _) = reused.consume();
    // Err: it is not the stream that was handed over.
    let Ok(message) = stream.into_any().downcast::<Message>() else { return Ending::Closed };
    match message.finish().await {
        Some(Leftover { transport, input }) => {
            work.input.push(&input);
            Ending::Next(transport)
        }
        None => Ending::Closed,
    }
}

/// Counts a connection that ends for what the client did on it; whether it does.
fn count_fault(served: &Served) -> bool {
    let fault = served.connection.fault();
    match fault {
        Some(Cause::ClientBodyTimeout) => served.closed(Closing::BodyTooSlow),
        Some(Cause::ResponseTooSlow) => served.closed(Closing::ResponseTooSlow),
        _ => {}
    }
    fault.is_some()
}
