//! Bytes that come in at one end and are taken at the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Room that is written once and used again and again.
#[derive(Debug, Default)]
pub struct Buffer {
    room: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer with so much room.
    pub fn with_room(room: usize) -> Self {
        Self { room: vec![0; room], start: 0, end: 0 }
    }

    /// What has come and was not taken.
    pub fn bytes(&self) -> &[u8] {
        &self.room[self.start..self.end]
    }

    /// How much that is.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How much it could hold.
    pub fn room(&self) -> usize {
        self.room.len()
    }

    /// Takes the first bytes.
    pub fn take(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Takes all.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.room[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Has room for `count` bytes more: by moving what it holds to the front, or
    /// else by growing.
    pub fn make_room(&mut self, count: usize) {
        if self.room.len() - self.end >= count {
            return;
        }
        self.room.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.len());
        if self.room.len() - self.end < count {
            self.room.resize(self.end + count, 0);
        }
    }

    /// Reads what has come into the room that is left; there must be some. 0 is
    /// the end.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.room[self.end..]);
        ready!(Pin::new(reader).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

/// Writes what was staged, and behind it what is sent from where it lies: in one
/// call where there are both.
pub(super) fn poll_write_both(
    cx: &mut Context<'_>,
    writer: &mut (impl AsyncWrite + Unpin),
    staged: &[u8],
    direct: &[u8],
) -> Poll<io::Result<usize>> {
    let writer = Pin::new(writer);
    if direct.is_empty() {
        return writer.poll_write(cx, staged);
    }
    if staged.is_empty() {
        return writer.poll_write(cx, direct);
    }
    writer.poll_write_vectored(cx, &[IoSlice::new(staged), IoSlice::new(direct)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again() {
        let mut buffer = Buffer::with_room(8);
        buffer.push(b"abcdef");
        buffer.take(4);
        buffer.push(b"ghij");
        assert_eq!(buffer.bytes(), b"efghij");
        assert_eq!(buffer.room(), 8);
        buffer.push(b"klm");
        assert_eq!(buffer.bytes(), b"efghijklm");
        buffer.take(100);
        assert!(buffer.is_empty());
    }
}
