//! A lease, or a place in the queue for one while the client is still there.

use std::future::poll_fn;
use std::task::Poll;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Run;
use super::client::ClientStream;
use super::failure::Failure;
use super::transfer::{EARLY, GLANCE, HALF_CLOSED};
use super::workspace::Workspace;
use crate::engine::attempt::{self, NotBegun};
use crate::engine::exchange::Exchange;
use crate::response::Cause;

impl Run<'_> {
    /// A lease on an endpoint. What is left of `timeouts.request`.
    pub(super) async fn lease<C: ClientStream>(
        &self,
        exchange: &mut Exchange,
        client: &mut C,
        work: &mut Workspace,
    ) -> Result<Duration, Failure> {
        let refused = |cause: Cause| Failure::last(cause, cause.name());
        match attempt::begin(exchange, self.target, &self.timeouts) {
            Ok(remaining) => Ok(remaining),
            Err(NotBegun::Refused(cause)) => Err(refused(cause)),
            Err(NotBegun::Full) => {
                let left = until_left(client, work);
                Box::pin(attempt::wait_for_place(exchange, self.target, &self.timeouts, left))
                    .await
                    .map_err(refused)
            }
        }
    }
}

/// Ends when the client has left. What it sends in the meantime, of this request or
/// the next, is kept.
async fn until_left<C: ClientStream>(client: &mut C, work: &mut Workspace) {
    let filled = poll_fn(|cx| {
        while work.input.len() < EARLY {
            work.input.make_room(EARLY);
            match work.input.poll_fill(cx, client) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => return Poll::Ready(Filled::HalfClosed),
                Poll::Ready(Err(_)) => return Poll::Ready(Filled::Broken),
            }
        }
        Poll::Ready(Filled::Enough)
    });
    let until = match filled.await {
        Filled::Broken => return,
        // It waits for its response, or has left: who cannot be told from whom.
        Filled::HalfClosed => Instant::now().checked_add(HALF_CLOSED),
        Filled::Enough => None,
    };
    while !client.is_reset() && until.is_none_or(|until| Instant::now() < until) {
        sleep(GLANCE).await;
    }
}

enum Filled {
    /// No more is read for now.
    Enough,
    HalfClosed,
    Broken,
}
