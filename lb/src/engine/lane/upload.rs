//! The request on its way to the endpoint: head, body, trailers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Version;
use tokio::io::AsyncWrite;

use super::buffer::poll_write_both;
use super::client::ClientStream;
use super::connection::Stream;
use super::failure::Failure;
use super::request::Request;
use super::workspace::{ROOM, Workspace};
use crate::engine::Patience;
use crate::engine::exchange::Exchange;
use crate::engine::forward::Forwarding;
use crate::head::{
    BodyDecoder, CHUNK_END, Framing, may_pass_in_trailer, trailer_fields, write_chunk_header,
    write_field,
};
use crate::response::Cause;
use crate::snapshot::Pace;

/// As much of a body is held so that it can be sent again (Pingora: the same).
const HELD: u64 = 64 * 1024;

/// How far a request has come.
#[derive(Debug)]
pub(super) struct Upload {
    decoder: BodyDecoder,
    framing: Framing,
    /// How slowly the client may send.
    pub(super) patience: Patience,
    /// The client waits to be told before it sends: it is not slow.
    pub(super) untold: bool,
    /// It would be harmless to send again, so that it is worth holding.
    repeatable: bool,
    /// All that was taken of it stands in the workspace, to be sent again.
    pub(super) held: bool,
    /// How much of the workspace's `request` this attempt has sent.
    sent: usize,
    /// How much at the front of the input is body, to be sent as it is.
    direct: usize,
    /// Body bytes that the client has sent.
    pub(super) received: u64,
    /// Why the endpoint takes no more. Its response may be there all the same.
    pub(super) broken: Option<io::Error>,
    /// All of it was sent.
    pub(super) finished: bool,
}

/// What sending waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing: all is sent, or no more can be.
    Nothing,
    ForEndpoint,
    ForClient,
}

impl Upload {
    pub(super) fn new(request: &Request, pace: Pace) -> Self {
        Self {
            decoder: BodyDecoder::new(request.framing),
            framing: request.framing,
            patience: Patience::new(pace),
            untold: request.expects,
            repeatable: request.idempotent,
            held: true,
            sent: 0,
            direct: 0,
            received: 0,
            broken: None,
            finished: false,
        }
    }

    /// Another attempt sends it from the start.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
        self.broken = None;
        self.finished = false;
    }

    /// Whether the client has sent all of it: what comes next is another request.
    pub(super) fn is_taken_in(&self) -> bool {
        self.decoder.is_done() && self.direct == 0
    }

    /// Sends what there is; whether anything moved.
    pub(super) fn poll<C: ClientStream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        endpoint: &mut Stream,
        work: &mut Workspace,
        exchange: &mut Exchange,
        moved: &mut bool,
    ) -> Result<Waits, Failure> {
        if self.finished || self.broken.is_some() {
            return Ok(Waits::Nothing);
        }
        loop {
            while self.sent < work.request.len() || self.direct > 0 {
                match self.poll_write(cx, endpoint, work) {
                    Poll::Ready(Ok(0)) => self.broken = Some(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        *moved = true;
                        self.wrote(count, work);
                        continue;
                    }
                    Poll::Ready(Err(error)) => self.broken = Some(error),
                    Poll::Pending => return Ok(Waits::ForEndpoint),
                }
                return Ok(Waits::Nothing);
            }
            if self.decoder.is_done() {
                return Ok(self.poll_finish(cx, endpoint));
            }
            if work.input.is_empty() {
                if self.decoder.length_left().is_none_or(|left| left > ROOM as u64) {
                    work.enlarge_input();
                }
                work.input.make_room(ROOM);
                match work.input.poll_fill(cx, client) {
                    Poll::Ready(Ok(0)) if exchange.responding => {
                        // It has its answer, and spares us the rest.
                        self.broken = Some(io::ErrorKind::UnexpectedEof.into());
                        return Ok(Waits::Nothing);
                    }
                    Poll::Ready(Ok(0)) => return Err(Failure::client(None)),
                    Poll::Ready(Ok(count)) => {
                        // It sends, told or not.
                        self.untold = false;
                        self.patience.moved(count);
                        *moved = true;
                    }
                    Poll::Ready(Err(error)) => return Err(Failure::client(Some(&error))),
                    Poll::Pending => {
                        // What the endpoint has been sent so far is to reach it.
                        return Ok(match Pin::new(&mut *endpoint).poll_flush(cx) {
                            Poll::Pending => Waits::ForEndpoint,
                            Poll::Ready(_) => Waits::ForClient,
                        });
                    }
                }
            }
            self.stage(work, exchange)?;
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        endpoint: &mut Stream,
        work: &Workspace,
    ) -> Poll<io::Result<usize>> {
        let (staged, direct) = (&work.request[self.sent..], &work.input.bytes()[..self.direct]);
        poll_write_both(cx, endpoint, staged, direct)
    }

    fn wrote(&mut self, count: usize, work: &mut Workspace) {
        let staged = count.min(work.request.len() - self.sent);
        self.sent += staged;
        self.direct -= count - staged;
        work.input.take(count - staged);
        if !self.held && self.sent == work.request.len() {
            work.request.clear();
            self.sent = 0;
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, endpoint: &mut Stream) -> Waits {
        match Pin::new(endpoint).poll_flush(cx) {
            Poll::Pending => return Waits::ForEndpoint,
            Poll::Ready(Ok(())) => self.finished = true,
            Poll::Ready(Err(error)) => self.broken = Some(error),
        }
        Waits::Nothing
    }

    /// Takes body out of the input: into `request`, framed for the endpoint, or
    /// from where it lies.
    fn stage(&mut self, work: &mut Workspace, exchange: &mut Exchange) -> Result<(), Failure> {
        match self.framing {
            Framing::Chunked => self.stage_chunks(work, exchange),
            Framing::None | Framing::Length(_) => {
                let step = self.decode(work)?;
                let length = step.data.len();
                self.count(length, exchange)?;
                if self.repeatable && self.held && self.received <= HELD {
                    work.request.extend_from_slice(&work.input.bytes()[step.data]);
                    work.input.take(step.consumed);
                } else {
                    self.held = false;
                    self.direct = length;
                }
                Ok(())
            }
        }
    }

    fn stage_chunks(
        &mut self,
        work: &mut Workspace,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        while !work.input.is_empty() && !self.decoder.is_done() {
            let step = self.decode(work)?;
            self.count(step.data.len(), exchange)?;
            let input = work.input.bytes();
            if !step.data.is_empty() {
                write_chunk_header(step.data.len(), &mut work.request);
                work.request.extend_from_slice(&input[step.data]);
                work.request.extend_from_slice(CHUNK_END);
            }
            work.request_trailers.extend_from_slice(&input[step.trailers]);
            work.input.take(step.consumed);
        }
        if self.decoder.is_done() {
            // A trailer must not say what a field may not.
            let forwarding = Forwarding::new(exchange, Version::HTTP_11);
            let passes = |name: &str| forwarding.as_ref().is_some_and(|f| f.passes(name));
            write_last_chunk(&work.request_trailers, passes, &mut work.request);
        }
        self.held &= self.repeatable && self.received <= HELD;
        Ok(())
    }

    fn decode(&mut self, work: &Workspace) -> Result<crate::head::Step, Failure> {
        let step = self.decoder.decode(work.input.bytes());
        step.map_err(|error| Failure::last(Cause::BadFraming, error.to_string()))
    }

    /// Counts body against the route's limit. An upload that moves is not late:
    /// the time until the response head counts from the last byte that came.
    fn count(&mut self, bytes: usize, exchange: &mut Exchange) -> Result<(), Failure> {
        self.received += bytes as u64;
        exchange.body_received = self.received;
        let Some(forward) = exchange.forward() else { return Ok(()) };
        let (limit, request_timeout) = (forward.body_limit, forward.timeouts.request);
        if self.received > limit && !exchange.grpc {
            let detail = "the request body is over the limit";
            return Err(Failure::last(Cause::BodyTooLarge, detail));
        }
        if exchange.due.is_some() {
            exchange.due = std::time::Instant::now().checked_add(request_timeout);
        }
        Ok(())
    }
}

/// The chunk that ends a body, with the trailers that may pass.
pub(super) fn write_last_chunk(trailers: &[u8], passes: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    let may_pass = |name: &str| may_pass_in_trailer(name) && passes(name);
    for field in trailer_fields(trailers).filter(|field| may_pass(field.name)) {
        write_field(field.name, field.value, out);
    }
    out.extend_from_slice(b"\r\n");
}
