//! A client whose request waits for a place: whether it is still there.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::{Instant, sleep};

use super::client::ClientStream;
use super::transfer::{EARLY, GLANCE, HALF_CLOSED};
use super::workspace::Workspace;

/// Ends when the client has left. What it sends in the meantime, of this request or
/// the next, is kept.
pub(super) async fn until_left<C: ClientStream>(client: &mut C, work: &mut Workspace) {
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
