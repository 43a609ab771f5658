//! The response on its way to the client: what is read of it, and what is written. What
//! is made of it in between is `stage`'s business.

mod stage;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::buffer::poll_write_both;
use super::client::ClientStream;
use super::connection::Stream;
use super::failure::Failure;
use super::response::Towards;
use super::scene::Scene;
use super::workspace::{ROOM, Workspace};
use crate::engine::Taking;
use crate::head::{BodyDecoder, ResponseScanner};
use crate::response::Cause;
use crate::snapshot::Pace;

/// How far a response has come.
#[derive(Debug)]
pub(super) struct Download {
    phase: Phase,
    scanner: ResponseScanner,
    decoder: Option<BodyDecoder>,
    towards: Towards,
    /// How slowly the client may take it.
    pub(super) taking: Taking,
    /// How much of the workspace's `output` the client was sent.
    written: usize,
    /// How much at the front of `response` is body, to be sent as it is.
    direct: usize,
    /// The status of the final response, once its head has come.
    pub(super) status: u16,
    /// Something of the final response was written: it cannot be taken back.
    pub(super) committed: bool,
    /// Body bytes.
    pub(super) body_sent: u64,
    /// The endpoint's connection can carry another request after this.
    pub(super) reusable: bool,
    /// The client may send another request after this.
    pub(super) keep_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Head,
    Body,
    /// All of it was staged.
    End,
    /// The endpoint has switched protocols.
    Tunnel,
    /// The response is put aside: another endpoint is asked.
    Aside,
}

impl Download {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            phase: Phase::Head,
            scanner: ResponseScanner::default(),
            decoder: None,
            towards: Towards::None,
            taking: Taking::new(pace),
            written: 0,
            direct: 0,
            status: 0,
            committed: false,
            body_sent: 0,
            reusable: false,
            keep_alive: false,
        }
    }

    /// Whether the client was sent anything that an answer cannot follow.
    pub(super) fn has_begun(&self) -> bool {
        self.committed || self.written > 0
    }

    /// Whether the client takes the end of the connection for the end of the body.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.towards == Towards::Close
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    /// Whether the response is not for the client, and another endpoint is asked.
    pub(super) fn is_put_aside(&self) -> bool {
        self.phase == Phase::Aside
    }

    /// Passes on what there is. Ready when the client has all of it; `moved` says
    /// whether it waits for the client otherwise, or for the endpoint.
    pub(super) fn poll<C: ClientStream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        endpoint: &mut Stream,
        work: &mut Workspace,
        scene: &mut Scene<'_>,
        moved: &mut Moved,
    ) -> Poll<Result<(), Failure>> {
        loop {
            if self.direct == 0 {
                self.stage(work, scene)?;
            }
            if self.is_put_aside() {
                return Poll::Ready(Ok(()));
            }
            // A body that comes right behind its head leaves with it.
            let waits_for_more = self.phase == Phase::Body && !self.committed && self.direct == 0;
            if waits_for_more && self.is_alone(work) {
                match self.poll_read(cx, endpoint, work, scene)? {
                    Poll::Ready(()) => {
                        moved.read = true;
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            while self.written < work.output.len() || self.direct > 0 {
                match self.poll_write(cx, client, work) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Failure::client(None)));
                    }
                    Poll::Ready(Ok(count)) => {
                        moved.written = true;
                        self.wrote(count, work);
                    }
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(Failure::client(Some(&error))));
                    }
                    Poll::Pending => {
                        moved.waits_for_client = true;
                        return Poll::Pending;
                    }
                }
            }
            if self.phase == Phase::Head || self.phase == Phase::Body {
                if !work.response.is_empty() && self.phase == Phase::Body {
                    continue;
                }
                match self.poll_read(cx, endpoint, work, scene)? {
                    Poll::Ready(()) => moved.read = true,
                    Poll::Pending => {
                        // What was written is to reach the client meanwhile.
                        // Err: the next write has it too.
                        let _ = self.poll_flush(cx, client, moved);
                        return Poll::Pending;
                    }
                }
            } else {
                return match ready!(self.poll_flush(cx, client, moved)) {
                    Ok(()) => Poll::Ready(Ok(())),
                    Err(error) => Poll::Ready(Err(Failure::client(Some(&error)))),
                };
            }
        }
    }

    /// Whether the head is all that is there to be sent. Body that is framed anew is
    /// in `output` too: it must not be waited for more of, without end.
    fn is_alone(&self, work: &Workspace) -> bool {
        self.written == 0
            && self.body_sent == 0
            && !work.output.is_empty()
            && work.response.is_empty()
    }

    fn poll_flush<C: ClientStream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        moved: &mut Moved,
    ) -> Poll<io::Result<()>> {
        let flushed = Pin::new(client).poll_flush(cx);
        if flushed.is_pending() {
            moved.waits_for_client = true;
        } else {
            // It is not waited for any more.
            self.taking.moved(0);
        }
        flushed
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        endpoint: &mut Stream,
        work: &mut Workspace,
        scene: &Scene<'_>,
    ) -> Result<Poll<()>, Failure> {
        if work.response.len() == work.response.room() || self.phase == Phase::Head {
            work.response.make_room(ROOM / 4);
        }
        let error = match work.response.poll_fill(cx, endpoint) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(1..)) => return Ok(Poll::Ready(())),
            Poll::Ready(Ok(0)) => None,
            Poll::Ready(Err(error)) => Some(error),
        };
        if self.phase == Phase::Head {
            // Why it takes no more says why it does not answer.
            let error = scene.upload.broken.as_ref().or(error.as_ref());
            return Err(Failure::reset(error));
        }
        if error.is_none() && self.decoder.as_mut().is_some_and(BodyDecoder::finish) {
            self.end(work, scene.exchange);
            return Ok(Poll::Ready(()));
        }
        let detail = match error {
            None => "the endpoint closed inside its response".to_owned(),
            Some(error) => format!("the endpoint broke off inside its response: {error}"),
        };
        Err(Failure::last(Cause::UpstreamIncomplete, detail))
    }

    fn poll_write<C: ClientStream>(
        &self,
        cx: &mut Context<'_>,
        client: &mut C,
        work: &Workspace,
    ) -> Poll<io::Result<usize>> {
        let (staged, direct) =
            (&work.output[self.written..], &work.response.bytes()[..self.direct]);
        poll_write_both(cx, client, staged, direct)
    }

    fn wrote(&mut self, count: usize, work: &mut Workspace) {
        self.taking.moved(count);
        self.committed |= self.phase != Phase::Head;
        let staged = count.min(work.output.len() - self.written);
        self.written += staged;
        self.direct -= count - staged;
        work.response.take(count - staged);
        if self.written == work.output.len() {
            work.output.clear();
            self.written = 0;
        }
    }
}

/// What a poll came to.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) read: bool,
    pub(super) written: bool,
    pub(super) waits_for_client: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_head_waits_for_its_body_and_a_body_for_nothing() {
        let mut download = Download::new(Pace { min_rate: 0, grace: Duration::ZERO });
        let mut work = Workspace::borrow();
        assert!(!download.is_alone(&work), "nothing is there");
        work.output.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(download.is_alone(&work));

        // Framed anew it lies behind the head: an endpoint that always has more to give
        // would be read to its end before the client is sent anything.
        work.output.extend_from_slice(b"1\r\nx\r\n");
        download.body_sent = 1;
        assert!(!download.is_alone(&work));
    }
}
