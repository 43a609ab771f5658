//! What clients do all day, besides the steady load: they come and go, upload,
//! download, leave in the middle, ask more than they may.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::certificates::SERVER_NAME;
use crate::load::outcome::Failure;
use crate::load::schedule::{Ask, Way};
use crate::load::tunnels::End;
use crate::load::wire::Wire;
use crate::load::{Clients, Current, tunnels};

/// For one who leaves: more than enough to get there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where they go, and where it is counted.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    pub(crate) wire: Wire,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) current: Current,
}

impl Mix {
    /// Starts everybody; they leave when the set is dropped.
    pub(crate) fn start(self) -> JoinSet<()> {
        let mut set = JoinSet::new();
        let mix = Arc::new(self);
        let per_second = |count: u32| Duration::from_secs(1) / count;
        // Connections that carry one request.
        set.spawn(again(Arc::clone(&mix), per_second(10), |mix, number| async move {
            let way = [Way::Http1, Way::Http1Plain, Way::Http2][number as usize % 3];
            mix.counted(Ask::Get, |clients, current| async move {
                clients.ask(way, Ask::Get, number, &current.get()).await
            })
            .await;
        }));
        set.spawn(again(Arc::clone(&mix), per_second(2), |mix, number| async move {
            let way = if number.is_multiple_of(2) { Way::Http1 } else { Way::Http2 };
            let length = 200_000 + number as usize % 5 * 300_000;
            mix.counted(Ask::Post, |clients, current| async move {
                clients.transfer(way, Ask::Post, length, &current.get()).await
            })
            .await;
        }));
        set.spawn(again(Arc::clone(&mix), per_second(2), |mix, number| async move {
            let way = if number.is_multiple_of(2) { Way::Http2 } else { Way::Http1Plain };
            let length = 500_000 + number as usize % 5 * 700_000;
            mix.counted(Ask::Get, |clients, current| async move {
                clients.transfer(way, Ask::Get, length, &current.get()).await
            })
            .await;
        }));
        set.spawn(again(Arc::clone(&mix), per_second(15), |mix, number| async move {
            mix.counted(Ask::Limited, |clients, current| async move {
                clients.ask(Way::Http1Plain, Ask::Limited, number, &current.get()).await
            })
            .await;
        }));
        set.spawn(again(Arc::clone(&mix), per_second(4), |mix, _| async move {
            mix.short_tunnel().await;
        }));
        set.spawn(again(mix, per_second(8), |mix, number| async move {
            // Whatever becomes of it: the client does not stay to see.
            let _ = timeout(PATIENCE, mix.leave(number)).await;
        }));
        set
    }

    /// A request of clients that have no connection yet, and keep none.
    async fn counted<F>(&self, ask: Ask, request: impl FnOnce(Clients, Current) -> F)
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let tally = self.current.get();
        let pending = tally.begin(Duration::ZERO);
        let clients = Clients::new(&self.wire, self.http, self.https);
        let due = Instant::now();
        let result = request(clients, self.current.clone()).await;
        tally.end(Some(due.elapsed()), ask.is_idempotent(), result);
        drop(pending);
    }

    async fn short_tunnel(&self) {
        let tally = self.current.get();
        let pending = tally.begin(Duration::ZERO);
        let opened = timeout(PATIENCE, tunnels::open(&self.wire, self.https)).await;
        let opened = opened.unwrap_or(Err(Failure::NoAnswer));
        tally.end(None, true, opened.as_ref().map(|_| ()).map_err(Failure::clone));
        drop(pending);
        let Ok((mut socket, endpoint)) = opened else { return };
        for number in 0..5 {
            match timeout(PATIENCE, tunnels::echo(&mut socket, number)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return tally.tunnel_ended(endpoint, &why),
                Err(_) => return tally.tunnel_ended(endpoint, &End::Gone("silent".to_owned())),
            }
        }
        let _ = timeout(PATIENCE, tunnels::close(&mut socket)).await;
    }

    /// One of the ways to leave in the middle.
    async fn leave(&self, number: u64) -> Option<()> {
        let stream = if number.is_multiple_of(2) {
            self.wire.plain(self.http).await
        } else {
            self.wire.tls(self.https).await
        };
        let mut stream = stream.ok()?;
        let request = match number / 2 % 4 {
            // Without a word.
            0 => return Some(()),
            // In the head.
            1 => "GET /api/v1/diagn".to_owned(),
            // In the body.
            2 => format!(
                "POST /api/v1/diagnostics/body HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\
                 Content-Length: 100000\r\n\r\n{}",
                "x".repeat(30_000)
            ),
            // In the response.
            _ => format!(
                "GET /api/v1/diagnostics/bytes?count=4000000 HTTP/1.1\r\n\
                 Host: {SERVER_NAME}\r\n\r\n"
            ),
        };
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        if number / 2 % 4 == 3 {
            stream.read_exact(&mut [0; 5000]).await.ok()?;
        }
        Some(())
    }
}

/// Does something every `pause`, whether or not what was done before is over.
async fn again<F>(mix: Arc<Mix>, pause: Duration, action: impl Fn(Arc<Mix>, u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Ended together with this.
    let mut actions = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        while actions.try_join_next().is_some() {}
        actions.spawn(action(Arc::clone(&mix), number));
    }
}
