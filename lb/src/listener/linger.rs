//! The lingering close (nginx: `lingering_close`).
//!
//! Closing a socket with unread data in it sends a reset, and a reset takes
//! away from the client what it has not read yet: our answer. So after an
//! answer to a request that is still arriving, we stop writing and read on for
//! a while.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::time::timeout;

use super::transport::Transport;

/// In all (nginx: `lingering_time`).
const TIME: Duration = Duration::from_secs(30);

/// Between two reads (nginx: `lingering_timeout`).
const IDLE: Duration = Duration::from_secs(5);

/// Sends a last answer, then closes gently, on a task of its own.
pub(super) fn answer_and_close(transport: Transport, answer: Vec<u8>) {
    spawn(async move {
        let mut io = BufWriter::with_capacity(0, transport);
        if io.write_all(&answer).await.is_ok() {
            linger(io).await;
        }
    });
}

/// Closes the connection gently, on a task of its own.
pub(super) fn close(io: BufWriter<Transport>) {
    spawn(linger(io));
}

/// Writes what is still buffered of a response that broke off, so that the
/// client sees how far it came. Without a TLS close notification: it must also
/// see that this is not the end.
pub(super) fn flush(mut io: BufWriter<Transport>) {
    spawn(async move {
        let _ = io.flush().await;
    });
}

fn spawn(closing: impl Future<Output = ()> + Send + 'static) {
    // Without a runtime the process is ending, and so is the connection.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let _ = timeout(TIME, closing).await;
        });
    }
}

async fn linger(mut io: BufWriter<Transport>) {
    if io.shutdown().await.is_err() {
        return;
    }
    let mut unwanted = vec![0; 16 * 1024];
    while let Ok(Ok(1..)) = timeout(IDLE, io.read(&mut unwanted)).await {}
}
