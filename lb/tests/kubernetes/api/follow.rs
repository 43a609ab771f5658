//! Watches: lines that go on as long as the client stays.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep_until};

use super::Core;
use super::answer::{self, Body, Refusal};
use super::faults::Order;
use super::question::Question;
use super::store::{Gone, Kind};

/// Lines that wait for a client that does not read.
const WAITING: usize = 1024;

type Lines = mpsc::Sender<io::Result<Frame<Bytes>>>;

/// Why a watch is over: its client went, or what is left to be said was said.
struct Over;

/// A watch as the body of an answer.
pub fn follow(core: &Arc<Core>, question: Question) -> Body {
    let (lines, mut coming) = mpsc::channel(WAITING);
    // Before the answer begins: an order that comes after it is meant for this watch.
    let orders = core.orders.subscribe();
    core.watches.fetch_add(1, Ordering::SeqCst);
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let _over = run(&core, &question, &lines, orders).await;
        core.watches.fetch_sub(1, Ordering::SeqCst);
        core.ended.fetch_add(1, Ordering::SeqCst);
    });
    let stream = futures_util::stream::poll_fn(move |context| coming.poll_recv(context));
    StreamBody::new(stream).boxed()
}

async fn run(
    core: &Core,
    question: &Question,
    lines: &Lines,
    mut orders: broadcast::Receiver<Order>,
) -> Result<(), Over> {
    let Question { namespace, selector, version, timeout, bookmarks, initial_events, .. } =
        question;
    let mut newest = core.store.newest();
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let version = version.as_deref().unwrap_or("0");
    let Ok(mut seen) = version.parse::<u64>() else {
        return say(lines, answer::error(&Refusal::bad_request("Invalid value: resourceVersion")))
            .await;
    };
    if seen == 0 || *initial_events {
        let list = core.store.list(namespace, selector);
        for slice in &list.items {
            say(lines, answer::event(Kind::Added, slice)).await?;
        }
        seen = list.version;
        if *initial_events {
            say(lines, answer::bookmark(seen, true)).await?;
        }
    }
    if let Err(Gone) = core.store.remembers(seen) {
        let newest = *newest.borrow();
        return say(lines, answer::error(&Refusal::too_old(seen, newest))).await;
    }
    let mut ordered = None;
    loop {
        // Marked as seen before it is read, so that nothing is missed.
        newest.borrow_and_update();
        let (version, events) = core.store.since(seen, namespace, selector);
        seen = version;
        for (kind, slice) in events {
            say(lines, answer::event(kind, &slice)).await?;
        }
        match ordered.take() {
            None => {}
            Some(Order::Bookmark) if !bookmarks => {}
            Some(Order::Bookmark) => say(lines, answer::bookmark(seen, false)).await?,
            Some(Order::Say(text)) => say(lines, text).await?,
            Some(Order::End) => return Ok(()),
            Some(Order::Freeze) => {
                let lines = lines.clone();
                tokio::spawn(async move { lines.closed().await });
                return Ok(());
            }
            Some(Order::Cut) => {
                let cut = io::Error::from(io::ErrorKind::ConnectionReset);
                return lines.send(Err(cut)).await.map_err(|_| Over);
            }
        }
        let time_is_over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = newest.changed() => changed.map_err(|_| Over)?,
            () = lines.closed() => return Err(Over),
            () = time_is_over => return Ok(()),
            order = orders.recv() => ordered = Some(order.map_err(|_| Over)?),
        }
    }
}

async fn say(lines: &Lines, text: String) -> Result<(), Over> {
    lines.send(Ok(Frame::data(Bytes::from(text)))).await.map_err(|_| Over)
}
