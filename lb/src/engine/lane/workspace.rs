//! The room that an exchange works in.
//!
//! A worker has as many as it has exchanges in flight, and uses them again: in
//! steady state a request allocates nothing, and an idle connection holds none.

use std::cell::RefCell;

use super::buffer::Buffer;
use super::request::Noted;

/// Room for a common head, and for what is read at once of a body.
pub(super) const ROOM: usize = 16 * 1024;

/// What a response that is longer than [`ROOM`] is read into: fewer, larger reads.
const LARGE: usize = 64 * 1024;

/// What is kept beyond an exchange of a buffer that has grown.
const KEPT: usize = 64 * 1024;

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
    /// The smaller buffer whose place `response` has taken.
    parked: Option<Buffer>,
    /// What the client is sent, but for what goes from `response` as it is.
    pub(super) output: Vec<u8>,
    /// The trailer section that is being read.
    pub(super) trailers: Vec<u8>,
    pub(super) noted: Noted,
}

thread_local! {
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
        let Self { input, request, trailers, noted, .. } = self;
        (input, Draft { request, trailers, noted })
    }

    /// One that is not in use.
    pub fn borrow() -> Box<Self> {
        SPARES.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                input: Buffer::with_room(ROOM),
                request: Vec::with_capacity(ROOM / 4),
                response: Buffer::with_room(ROOM),
                parked: None,
                output: Vec::with_capacity(ROOM / 4),
                trailers: Vec::new(),
                noted: Noted::default(),
            })
        })
    }

    /// Its use is over.
    pub fn give_back(mut self: Box<Self>) {
        self.input.clear();
        self.shrink_response();
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
        if self.response.room() >= LARGE {
            return;
        }
        let large = LARGE_SPARES.with_borrow_mut(Vec::pop);
        let mut large = large.unwrap_or_else(|| Buffer::with_room(LARGE));
        large.push(self.response.bytes());
        std::mem::swap(&mut self.response, &mut large);
        // The small one waits in the other's place.
        large.clear();
        self.parked = Some(large);
    }

    fn shrink_response(&mut self) {
        self.response.clear();
        if let Some(small) = self.parked.take() {
            let large = std::mem::replace(&mut self.response, small);
            LARGE_SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARE / 4 && large.room() == LARGE {
                    spares.push(large);
                }
            });
        }
    }
}
