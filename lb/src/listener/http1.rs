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

/// A connection, in one piece of memory: it goes from the idle task into the busy
/// future and back.
struct Conn {
    /// `None` only while an exchange has it.
    transport: Option<Transport>,
    alarm: Alarm,
    requests: u32,
    /// Since when it is idle: the last response was sent, or it was made.
    active: Instant,
    served: Served,
}

/// Why a connection is not busy any more.
enum Pause {
    /// All requests that came are answered.
    Idle(Box<Conn>),
    /// It is a tunnel.
    Tunnel(Box<Conn>, Box<Tunnel>),
    /// It is closed, or will be.
    Ended,
}

/// Carries requests until the connection cannot take another.
pub(super) fn serve(transport: Transport, served: Served) -> impl Future<Output = ()> + Send {
    run(Box::new(Conn {
        transport: Some(transport),
        alarm: Alarm::new(),
        requests: 0,
        active: Instant::now(),
        served,
    }))
}

async fn run(mut conn: Box<Conn>) {
    loop {
        let waited = wait(&mut conn).await;
        let Some(work) = waited else { return };
        let mut room = room_for(busy(conn, work));
        let pause = poll_fn(|cx| room.poll(cx)).await;
        leave(room);
        match pause {
            Pause::Idle(idle) => conn = idle,
            Pause::Ended => return,
            Pause::Tunnel(conn, tunnel) => return Box::pin(run_tunnel(conn, tunnel)).await,
        }
    }
}

async fn run_tunnel(mut conn: Box<Conn>, tunnel: Box<Tunnel>) {
    let Conn { transport: Some(transport), alarm, .. } = &mut *conn else { return };
    tunnel.run(transport, alarm).await;
    goodbye(transport).await;
}

/// Waits for the first bytes of a request. `None`: none will come.
async fn wait(conn: &mut Conn) -> Option<Box<Workspace>> {
    let Conn { transport, alarm, active, served, .. } = conn;
    let transport = transport.as_mut()?;
    match active.checked_add(served.settings.deadlines.idle) {
        Some(at) => alarm.set(at),
        None => alarm.clear(),
    }
    let (mut first, mut stops) = (true, false);
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
        // The workers wake all that is idle when an era ends.
        if !stops && served.connection.era.is_closing() {
            stops = true;
            alarm.set(*active + MOMENT);
        }
        if std::mem::take(&mut first) && !stops {
            // It was set a moment ago: no need for the clock.
            alarm.wake(cx.waker());
            return Poll::Pending;
        }
        alarm.poll(cx).map(|()| Some(Err(stops)))
    });
    match waited.await? {
        Ok(work) => Some(work),
        Err(stops) => {
            if !stops {
                served.closed(Closing::IdleTimeout);
            }
            Box::pin(goodbye(transport)).await;
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
async fn busy(mut conn: Box<Conn>, mut work: Box<Workspace>) -> Pause {
    let pause = loop {
        if work.input.bytes() == b"\r\n" {
            // An empty line behind the last request (RFC 9112 §2.2) begins none.
            work.input.clear();
        }
        if work.input.is_empty() {
            conn.active = work.ended.take().map_or_else(Instant::now, Instant::from_std);
            break Pause::Idle(conn);
        }
        conn.requests += 1;
        let Conn { transport, alarm, requests, served, .. } = &mut *conn;
        let last = served.settings.limits.requests.is_some_and(|limit| *requests >= limit);
        let Some(stream) = transport.take() else { break Pause::Ended };
        match exchange(stream, &mut work, alarm, served, last).await {
            Ending::Next(stream) => *transport = Some(stream),
            Ending::Tunnel(stream, tunnel) => {
                *transport = Some(stream);
                break Pause::Tunnel(conn, tunnel);
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

/// A box that an earlier future has left: this one is too large to be part of
/// every idle connection's task, and too short-lived for a box of its own.
fn room_for(future: impl Future<Output = Pause> + Send + 'static) -> Room {
    match ROOMS.with_borrow_mut(Vec::pop) {
        Some(mut room) => {
            room.set(future);
            room
        }
        None => Room::new(future),
    }
}

fn leave(room: Room) {
    ROOMS.with_borrow_mut(|rooms| {
        if rooms.len() < SPARE {
            rooms.push(room);
        }
    });
}
