//! HTTP/1: one request after the other on a connection.
//!
//! Between two requests a connection is a socket and an alarm. When bytes come,
//! a worker's spare room is borrowed for them: the head is read and decided
//! about here, and what is forwarded goes to an engine as exactly one message.

mod exchange;
mod own;

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_util::sync::ReusableBoxFuture;

use self::exchange::{Ending, exchange};
use super::accept::Served;
use super::transport::Transport;
use crate::engine::lane::{Tunnel, Workspace};
use crate::response::Closing;
use crate::timer::Alarm;

/// How long a connection that has just been used is kept when the process stops.
///
/// A request may be on its way to a client that was told "keep-alive" a moment
/// ago (nginx: `keepalive_min_timeout`).
const MOMENT: Duration = Duration::from_secs(1);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Room for a common request: on the stack while a connection is asked for one.
const SPACE: usize = 4096;

/// Busy futures that a worker keeps.
const SPARE: usize = 128;

/// Carries requests until the connection cannot take another.
pub(super) async fn serve(mut transport: Transport, served: Served) {
    let served = Arc::new(served);
    let mut alarm = Alarm::new();
    let mut requests = 0;
    loop {
        let Some(work) = wait(&mut transport, &mut alarm, &served).await else { return };
        let idle = Idle { transport, alarm, requests };
        match in_spare_room(busy(idle, work, Arc::clone(&served))).await {
            Pause::Idle(idle) => Idle { transport, alarm, requests } = idle,
            Pause::Ended => return,
            Pause::Tunnel(idle, tunnel) => {
                Idle { transport, alarm, .. } = idle;
                Box::pin(tunnel.run(&mut transport, &mut alarm)).await;
                goodbye(&mut transport).await;
                return;
            }
        }
    }
}

/// What a connection is between two requests.
struct Idle {
    transport: Transport,
    alarm: Alarm,
    requests: u32,
}

/// Why a connection is not busy any more.
enum Pause {
    /// All requests that came are answered.
    Idle(Idle),
    /// It is a tunnel.
    Tunnel(Idle, Box<Tunnel>),
    /// It is closed, or will be.
    Ended,
}

/// Waits for the first bytes of a request. `None`: none will come.
async fn wait(
    transport: &mut Transport,
    alarm: &mut Alarm,
    served: &Served,
) -> Option<Box<Workspace>> {
    let active = Instant::now();
    match active.checked_add(served.settings.deadlines.idle) {
        Some(at) => alarm.set(at),
        None => alarm.clear(),
    }
    let mut stops = false;
    let waited = poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut space = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *transport).poll_read(cx, &mut space) {
            Poll::Ready(Ok(())) if space.filled().is_empty() => return Poll::Ready(None),
            Poll::Ready(Ok(())) => {
                let mut work = Workspace::borrow();
                work.input.push(space.filled());
                return Poll::Ready(Some(Ok(work)));
            }
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // The workers wake all that is idle when the process stops.
        if !stops && served.engine.shared().is_draining() && *served.shutdown.borrow() {
            stops = true;
            alarm.set(active + MOMENT);
        }
        alarm.poll(cx).map(|()| Some(Err(stops)))
    });
    match waited.await? {
        Ok(work) => Some(work),
        Err(stops) => {
            if !stops {
                served.closed(Closing::IdleTimeout);
            }
            goodbye(transport).await;
            None
        }
    }
}

/// Ends TLS as it should be ended.
async fn goodbye(transport: &mut Transport) {
    // Err: it does not want to know.
    let _ = timeout(GOODBYE, transport.shutdown()).await;
}

/// Answers the requests that have come, and those that come meanwhile.
async fn busy(mut idle: Idle, mut work: Box<Workspace>, served: Arc<Served>) -> Pause {
    let pause = loop {
        if work.input.bytes() == b"\r\n" {
            // An empty line behind the last request (RFC 9112 §2.2) begins none.
            work.input.clear();
        }
        if work.input.is_empty() {
            break Pause::Idle(idle);
        }
        idle.requests += 1;
        let last = served.settings.limits.requests.is_some_and(|limit| idle.requests >= limit);
        match exchange(idle.transport, &mut work, &mut idle.alarm, &served, last).await {
            Ending::Next(transport) => idle.transport = transport,
            Ending::Tunnel(transport, tunnel) => {
                idle.transport = transport;
                break Pause::Tunnel(idle, tunnel);
            }
            Ending::Closed => {
                if last && served.connection.fault().is_none() {
                    served.closed(Closing::RequestLimit);
                }
                break Pause::Ended;
            }
        }
    };
    work.give_back();
    pause
}

/// A future of [`busy`] in its box, done or not begun.
type Room = ReusableBoxFuture<'static, Pause>;

thread_local! {
    static ROOMS: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

/// Runs a future in a box that an earlier one has left: it is too large to be
/// part of every idle connection's task, and too short-lived for a box of its own.
async fn in_spare_room(future: impl Future<Output = Pause> + Send + 'static) -> Pause {
    let mut room = match ROOMS.with_borrow_mut(Vec::pop) {
        Some(mut room) => {
            room.set(future);
            room
        }
        None => Room::new(future),
    };
    let pause = poll_fn(|cx| room.poll(cx)).await;
    ROOMS.with_borrow_mut(|rooms| {
        if rooms.len() < SPARE {
            rooms.push(room);
        }
    });
    pause
}
