//! The room that an exchange works in.
//!
//! A worker has as many as it has exchanges in flight, and uses them again: in
//! steady state a request allocates nothing, and an idle connection holds none.

use std::cell::RefCell;
use std::time::Instant;

use super::buffer::Buffer;
use super::request::Noted;

/// Room for a common head, and for what is read at once of a body.
pub(super) const ROOM: usize = 16 * 1024;

/// What a response that is longer than [`ROOM`] is read into: fewer, larger reads.
const LARGE: usize = 64 * 1024;

/// What is kept beyond an exchange of a buffer that has grown.
const KEPT: usize = 64 * 1024;

/// Larger buffers that a worker keeps.
const LARGE_SPARE: usize = 32;

/// Workspaces that a worker keeps.
const SPARE: usize = 128;

/// Buffers, used again and again.
#[derive(Debug)]
pub struct Workspace {
    /// What came from the client: a head, a body, the next request.
    pub input: Buffer,
    /// What the endpoint is sent: the head, then the body as it is framed for it.
    pub(super) request: Vec<u8>,
    /// What came from the endpoint.
    pub(super) response: Buffer,
    /// The smaller buffers whose places larger ones have taken.
    parked_input: Option<Buffer>,
    parked_response: Option<Buffer>,
    /// What the client is sent, but for what goes from `response` as it is.
    pub(super) output: Vec<u8>,
    /// The trailer section of the request that is being read, and that of the
    /// response: both may be on their way at once.
    pub(super) request_trailers: Vec<u8>,
    pub(super) response_trailers: Vec<u8>,
    pub(super) noted: Noted,
    /// When the last exchange ended, if somebody looked at the clock.
    pub ended: Option<Instant>,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "workspaces are handed on by their boxes")]
    static SPARES: RefCell<Vec<Box<Workspace>>> = const { RefCell::new(Vec::new()) };
    static LARGE_SPARES: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Where a request is drafted for its endpoint.
#[derive(Debug)]
pub struct Draft<'w> {
    pub(super) request: &'w mut Vec<u8>,
    pub(super) trailers: &'w mut Vec<u8>,
    pub(super) noted: &'w mut Noted,
}

impl Workspace {
    /// What came from the client, and where what is read of it goes.
    pub fn split(&mut self) -> (&Buffer, Draft<'_>) {
        let Self { input, request, request_trailers: trailers, noted, .. } = self;
        (input, Draft { request, trailers, noted })
    }

    /// One that is not in use.
    pub fn borrow() -> Box<Self> {
        SPARES.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                input: Buffer::with_room(ROOM),
                request: Vec::with_capacity(ROOM / 4),
                response: Buffer::with_room(ROOM),
                parked_input: None,
                parked_response: None,
                output: Vec::with_capacity(ROOM / 4),
                request_trailers: Vec::new(),
                response_trailers: Vec::new(),
                noted: Noted::default(),
                ended: None,
            })
        })
    }

    /// Its use is over.
    pub fn give_back(mut self: Box<Self>) {
        reduce(&mut self.input, &mut self.parked_input);
        reduce(&mut self.response, &mut self.parked_response);
        if self.input.room() > KEPT
            || self.response.room() > KEPT
            || self.request.capacity() > KEPT
            || self.output.capacity() > KEPT
        {
            return;
        }
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    /// A long response comes: more is read at once.
    pub(super) fn enlarge_response(&mut self) {
        enlarge(&mut self.response, &mut self.parked_response);
    }

    /// The same of a long request.
    pub(super) fn enlarge_input(&mut self) {
        enlarge(&mut self.input, &mut self.parked_input);
    }
}

/// Puts a larger buffer in the place of `buffer`, which waits in `parked`.
fn enlarge(buffer: &mut Buffer, parked: &mut Option<Buffer>) {
    if buffer.room() >= LARGE {
        return;
    }
    let large = LARGE_SPARES.with_borrow_mut(Vec::pop);
    let mut large = large.unwrap_or_else(|| Buffer::with_room(LARGE));
    large.push(buffer.bytes());
    buffer.clear();
    *parked = Some(std::mem::replace(buffer, large));
}

/// Has `buffer` empty and as it was.
fn reduce(buffer: &mut Buffer, parked: &mut Option<Buffer>) {
    buffer.clear();
    if let Some(small) = parked.take() {
        let large = std::mem::replace(buffer, small);
        LARGE_SPARES.with_borrow_mut(|spares| {
            if spares.len() < LARGE_SPARE && large.room() == LARGE {
                spares.push(large);
            }
        });
    }
}
