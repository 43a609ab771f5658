//! Takes a body out of its framing, as it arrives.
//!
//! Chunks are read more strictly than RFC 9112 §7.1 asks: no whitespace around
//! a size, no bare LF, bounds on sizes, extensions and trailers. What comes out
//! is to be framed anew, never passed on as it came.

use std::ops::Range;

use super::{Framing, ResponseFraming, fields::is_value_byte, trailer::Trailer};

/// Hexadecimal digits of a chunk size, leading zeros included: 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Bytes of the extensions of one chunk. Nothing is known to use them.
const MAX_EXTENSION: u16 = 256;

/// Bytes of all chunk extensions of a body: a flood of them costs us time and
/// brings no body.
const MAX_EXTENSIONS: u16 = 16 * 1024;

/// Why a body is refused. Where it ends is not known then: the connection
/// cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// A chunk size line that begins with something else than a digit.
    #[error("a chunk without a size")]
    MissingChunkSize,
    /// Something else than a digit, `;` or CR in a chunk size: whitespace, a
    /// sign, `0x`.
    #[error("a byte in a chunk size that is not a hexadecimal digit")]
    BadChunkSize,
    /// More than 16 digits.
    #[error("a chunk size of more than 16 digits")]
    ChunkSizeTooLong,
    /// A control other than HTAB in a chunk extension.
    #[error("a control character in a chunk extension")]
    BadExtension,
    /// More than 256 bytes of extension on one chunk.
    #[error("a chunk extension of more than 256 bytes")]
    ExtensionTooLong,
    /// More than 16 KiB of extensions in one body.
    #[error("more than 16 kib of chunk extensions")]
    TooManyExtensions,
    /// A LF without its CR in the framing.
    #[error("a line feed without a carriage return in the framing of the body")]
    BareLf,
    /// A CR without its LF in the framing.
    #[error("a carriage return without a line feed in the framing of the body")]
    BareCr,
    /// A chunk is longer than its size says.
    #[error("a chunk that does not end where its size says")]
    MissingChunkEnd,
    /// A trailer line that begins with whitespace.
    #[error("whitespace at the beginning of a trailer line")]
    TrailerFold,
    /// A trailer line without a name that is a token, or without a colon.
    #[error("a trailer field name that is not a token followed by a colon")]
    BadTrailerName,
    /// A control other than HTAB in a trailer value.
    #[error("a control character in a trailer field value")]
    BadTrailerValue,
    /// More than 64 trailer fields.
    #[error("more than 64 trailer fields")]
    TooManyTrailers,
    /// More than 8 KiB of trailer fields.
    #[error("more than 8 kib of trailer fields")]
    TrailersTooLarge,
}

/// What became of the front of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input are done with.
    pub consumed: usize,
    /// Which of those are body; often all, sometimes none.
    pub data: Range<usize>,
    /// Which of those are trailers: the field lines behind the last chunk, and the
    /// blank line that ends them. Empty unless that has been reached; a section
    /// that comes in pieces is the parts of several steps together.
    pub trailers: Range<usize>,
    /// Whether the body has ended. Bytes after `consumed` are the next message's.
    pub done: bool,
}

/// Decodes the body of one message.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    extensions: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of a body of known length are left, at least one.
    Length(u64),
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        bytes: u16,
    },
    /// After the CR of a chunk size line.
    SizeEnd(u64),
    /// So many bytes of the chunk are left, at least one.
    Chunk(u64),
    /// After the last byte of a chunk.
    ChunkEnd,
    /// After the CR of that.
    ChunkLf,
    Trailer(Trailer),
    /// A body that ends with the connection.
    UntilClose,
    Done,
}

impl State {
    /// Whether body bytes are next.
    fn is_data(self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunk(_) | Self::UntilClose)
    }
}

/// Framing that was taken.
struct Skipped {
    /// Where in the input it ends.
    end: usize,
    /// Where in it the trailers begin, if they do.
    trailers: Option<usize>,
}

const NEXT_CHUNK: State = State::Size { size: 0, digits: 0 };

impl BodyDecoder {
    /// A decoder for the body that follows a request head.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => NEXT_CHUNK,
        };
        Self { state, extensions: 0 }
    }

    /// A decoder for the body that follows a response head.
    pub fn for_response(framing: ResponseFraming) -> Self {
        let state = match framing {
            ResponseFraming::None => State::Done,
            ResponseFraming::Length(length) => return Self::new(Framing::Length(length)),
            ResponseFraming::Chunked => NEXT_CHUNK,
            ResponseFraming::UntilClose => State::UntilClose,
        };
        Self { state, extensions: 0 }
    }

    /// Takes in the end of the stream. False if the body was cut short by it.
    pub fn finish(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Whether the rest of the body is bytes without framing between them.
    pub fn is_plain(&self) -> bool {
        matches!(self.state, State::Length(_) | State::UntilClose)
    }

    /// Whether the body has ended. One that ends with the connection has once
    /// [`Self::finish`] was told.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much is left of a body of known length; `None` for any other.
    pub fn length_left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Looks at the front of `input`: framing, then at most one run of body
    /// bytes, then framing again. To be called until `done`, with the input from
    /// `consumed` on; each call makes progress unless `input` is empty.
    ///
    /// An error is reported when no body bytes come before it in `input`, and
    /// again if asked again.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let before = self.skip_framing(input, 0)?;
        let start = before.end;
        let end = start + self.take_data(input.len() - start);
        // What is wrong behind these bytes can wait until they are delivered.
        let behind = match self.skip_framing(input, end) {
            Ok(behind) => behind,
            Err(_) if end > start => Skipped { end, trailers: None },
            Err(error) => return Err(error),
        };
        let consumed = behind.end;
        let trailers = before.trailers.or(behind.trailers).unwrap_or(consumed);
        let done = self.is_done();
        Ok(Step { consumed, data: start..end, trailers: trailers..consumed, done })
    }

    /// Takes the framing at `at`, up to body bytes, the end of the body or the
    /// end of the input. On an error nothing is taken.
    fn skip_framing(&mut self, input: &[u8], at: usize) -> Result<Skipped, BodyError> {
        let mut at = at;
        let (mut state, mut extensions) = (self.state, self.extensions);
        let in_trailers = |state| matches!(state, State::Trailer(_));
        let mut trailers = in_trailers(state).then_some(at);
        while !state.is_data() && state != State::Done {
            let Some(&byte) = input.get(at) else {
                break;
            };
            state = next_state(state, byte)?;
            if matches!(state, State::Extension { .. }) {
                if extensions == MAX_EXTENSIONS {
                    return Err(BodyError::TooManyExtensions);
                }
                extensions += 1;
            }
            at += 1;
            if trailers.is_none() && in_trailers(state) {
                trailers = Some(at);
            }
        }
        (self.state, self.extensions) = (state, extensions);
        Ok(Skipped { end: at, trailers })
    }

    /// Takes the body bytes that are next, at most `available`.
    fn take_data(&mut self, available: usize) -> usize {
        let (State::Length(left) | State::Chunk(left)) = self.state else {
            return if self.state == State::UntilClose { available } else { 0 };
        };
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left - taken as u64;
        self.state = match (self.state, left) {
            (State::Length(_), 0) => State::Done,
            (State::Length(_), left) => State::Length(left),
            (_, 0) => State::ChunkEnd,
            (_, left) => State::Chunk(left),
        };
        taken
    }
}

/// Takes in one byte of framing.
fn next_state(state: State, byte: u8) -> Result<State, BodyError> {
    Ok(match (state, byte) {
        (State::Size { size, digits }, _) => match char::from(byte).to_digit(16) {
            Some(_) if digits == MAX_SIZE_DIGITS => return Err(BodyError::ChunkSizeTooLong),
            Some(digit) => State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 },
            None if byte == b'\n' => return Err(BodyError::BareLf),
            None if digits == 0 => return Err(BodyError::MissingChunkSize),
            None if byte == b'\r' => State::SizeEnd(size),
            None if byte == b';' => State::Extension { size, bytes: 1 },
            None => return Err(BodyError::BadChunkSize),
        },
        (State::Extension { size, .. }, b'\r') => State::SizeEnd(size),
        (State::Extension { .. }, b'\n') => return Err(BodyError::BareLf),
        (State::Extension { .. }, _) if !is_value_byte(byte) => {
            return Err(BodyError::BadExtension);
        }
        (State::Extension { bytes: MAX_EXTENSION, .. }, _) => {
            return Err(BodyError::ExtensionTooLong);
        }
        (State::Extension { size, bytes }, _) => State::Extension { size, bytes: bytes + 1 },
        (State::SizeEnd(0), b'\n') => State::Trailer(Trailer::START),
        (State::SizeEnd(size), b'\n') => State::Chunk(size),
        (State::ChunkEnd, b'\r') => State::ChunkLf,
        (State::ChunkEnd, _) => return Err(BodyError::MissingChunkEnd),
        (State::ChunkLf, b'\n') => NEXT_CHUNK,
        (State::SizeEnd(_) | State::ChunkLf, _) => return Err(BodyError::BareCr),
        (State::Trailer(trailer), _) => match trailer.next(byte)? {
            Some(trailer) => State::Trailer(trailer),
            None => State::Done,
        },
        // Not framing: the caller does not ask.
        (State::Length(_) | State::Chunk(_) | State::UntilClose | State::Done, _) => state,
    })
}
