//! WebSockets that stay: each says something every second, and expects it back.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Uri;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Current;
use super::outcome::{Failure, cause_of};
use super::wire::{Stream, Wire, innermost};
use crate::backend::index_of;
use crate::certificates::SERVER_NAME;

/// Between two messages of one tunnel.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longer than any fault lasts: what is silent and comes back is not cut.
const PATIENCE: Duration = Duration::from_secs(20);

/// Before a client tries again.
const PAUSE: Duration = Duration::from_millis(200);

/// Which share of the tunnels is renewed.
#[derive(Debug, Clone, Copy)]
struct Renewal {
    index: usize,
    of: usize,
}

/// So many tunnels, reopened when they break.
#[derive(Debug)]
pub(crate) struct Tunnels {
    count: usize,
    open: watch::Receiver<usize>,
    /// Who has to open a new one.
    renewal: watch::Sender<Renewal>,
    tasks: Vec<AbortHandle>,
}

impl Tunnels {
    pub(crate) fn start(count: usize, wire: &Wire, https: SocketAddr, current: &Current) -> Self {
        let open = Arc::new(watch::Sender::new(0));
        let renewal = watch::Sender::new(Renewal { index: 0, of: 1 });
        let tasks = (0..count)
            .map(|index| {
                let tunnel = Tunnel {
                    index,
                    wire: wire.clone(),
                    https,
                    current: current.clone(),
                    open: Arc::clone(&open),
                    renewal: renewal.subscribe(),
                };
                tokio::spawn(tunnel.run()).abort_handle()
            })
            .collect();
        Self { count, open: open.subscribe(), renewal, tasks }
    }

    /// Waits until all are open; returns whether that came in time.
    pub(crate) async fn all_open(&self, longest: Duration) -> bool {
        let mut open = self.open.clone();
        timeout(longest, open.wait_for(|count| *count == self.count))
            .await
            .is_ok_and(|waited| waited.is_ok())
    }

    /// Every client closes its tunnel, properly, and opens another.
    pub(crate) fn renew(&self) {
        self.renew_share(0, 1);
    }

    /// The same for the share `index` of so many.
    pub(crate) fn renew_share(&self, index: usize, of: usize) {
        self.renewal.send_replace(Renewal { index, of: of.max(1) });
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Tunnel {
    index: usize,
    wire: Wire,
    https: SocketAddr,
    current: Current,
    open: Arc<watch::Sender<usize>>,
    renewal: watch::Receiver<Renewal>,
}

/// One less is open when it is dropped.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|count| *count += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Tunnel {
    async fn run(mut self) {
        loop {
            let tally = self.current.get();
            let pending = tally.begin(Duration::ZERO);
            let opened = timeout(PATIENCE, open(&self.wire, self.https))
                .await
                .unwrap_or(Err(Failure::NoAnswer));
            let result = opened.as_ref().map(|_| ()).map_err(Failure::clone);
            // A handshake is a GET; its time is another than that of requests.
            tally.end(None, true, result);
            drop(pending);
            let Ok((mut socket, endpoint)) = opened else {
                sleep(PAUSE).await;
                continue;
            };

            self.renewal.mark_unchanged();
            let counted = Counted::new(&self.open);
            let end = self.talk_until_renewed(&mut socket).await;
            drop(counted);
            match end {
                Some(end) => {
                    self.current.get().tunnel_ended(endpoint, &end);
                    sleep(PAUSE).await;
                }
                None => {
                    let _ = timeout(PATIENCE, close(&mut socket)).await;
                }
            }
        }
    }

    /// Why the tunnel is over; `None` if its client is to open another.
    async fn talk_until_renewed(&mut self, socket: &mut Socket) -> Option<End> {
        let mut talk = pin!(converse(socket));
        loop {
            tokio::select! {
                end = &mut talk => return Some(end),
                changed = self.renewal.changed() => {
                    let Renewal { index, of } = *self.renewal.borrow_and_update();
                    if changed.is_err() || self.index % of == index {
                        return None;
                    }
                }
            }
        }
    }
}

pub(crate) type Socket = WebSocketStream<Stream>;

/// A tunnel, and the index of the backend that it leads to.
pub(crate) async fn open(
    wire: &Wire,
    https: SocketAddr,
) -> Result<(Socket, Option<usize>), Failure> {
    let stream = wire.tls(https).await?;
    let uri = Uri::builder()
        .scheme("wss")
        .authority(SERVER_NAME)
        .path_and_query("/ws")
        .build()
        .map_err(|error| Failure::Wrong(error.to_string()))?;
    match client_async(uri, stream).await {
        Ok((socket, response)) => {
            let name = response.headers().get("x-served-by").and_then(|name| name.to_str().ok());
            Ok((socket, name.and_then(index_of)))
        }
        Err(WebSocketError::Http(response)) => {
            let field = response.headers().get("proxy-status");
            let status = response.status();
            match field.and_then(|value| cause_of(value.to_str().ok()?)) {
                Some(cause) => Err(Failure::Refused { status, cause }),
                None => Err(Failure::PassedThrough(status)),
            }
        }
        Err(error) => Err(Failure::Unanswered {
            is_reused: false,
            is_untouched: false,
            error: innermost(&error),
        }),
    }
}

/// Why a tunnel is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Closed or broken: its backend may have done that.
    Gone(String),
    /// Something was said that no backend says.
    Garbled(String),
}

impl End {
    fn of(error: &WebSocketError) -> Self {
        let why = innermost(error);
        match error {
            WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Gone(why)
            }
            WebSocketError::Protocol(_) | WebSocketError::Utf8(_) | WebSocketError::Capacity(_) => {
                Self::Garbled(why)
            }
            _ => Self::Gone(why),
        }
    }
}

/// Talks until it breaks; says why it did.
async fn converse(socket: &mut Socket) -> End {
    // Not all in the same moment.
    let first = Instant::now() + INTERVAL.mul_f64(fastrand::f64());
    let mut ticks = interval_at(first, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        // A close that comes while nothing is said is noticed at the next word.
        ticks.tick().await;
        match timeout(PATIENCE, echo(socket, number)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return End::Gone("silent".to_owned()),
        }
    }
    End::Gone("too many messages".to_owned())
}

/// Says `number`, and reads it back.
pub(crate) async fn echo(socket: &mut Socket, number: u64) -> Result<(), End> {
    let said = Message::text(number.to_string());
    socket.send(said.clone()).await.map_err(|error| End::of(&error))?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| u16::from(frame.code));
                return Err(End::Gone(format!("closed with {code}")));
            }
            Some(Ok(heard)) if heard == said => return Ok(()),
            Some(Ok(_)) => return Err(End::Garbled("wrong echo".to_owned())),
            Some(Err(error)) => return Err(End::of(&error)),
            None => return Err(End::Gone("closed".to_owned())),
        }
    }
}

/// The closing handshake.
pub(crate) async fn close(socket: &mut Socket) {
    if socket.close(None).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_backend_says_is_told_from_an_end() {
        let reset = WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake);
        assert!(matches!(End::of(&reset), End::Gone(_)));
        // The 5 of "502 Bad Gateway".
        let page = WebSocketError::Protocol(ProtocolError::InvalidOpcode(5));
        assert!(matches!(End::of(&page), End::Garbled(_)));
        assert!(matches!(End::of(&WebSocketError::ConnectionClosed), End::Gone(_)));
    }
}
