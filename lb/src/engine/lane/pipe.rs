//! Bytes from socket to socket through a pipe of the kernel's: splice(2).
//!
//! Worth it where much comes at once: a quarter less CPU than copying when the
//! pipe is filled, more system calls when it is not. So a way of a tunnel has a
//! pipe only while full pieces come.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::way::Broken;

/// What a pipe holds. The kernel allows this to everybody up to 1 MiB
/// (/proc/sys/fs/pipe-max-size).
const ROOM: i32 = 256 * 1024;

/// Pipes that a worker keeps.
const SPARE: usize = 16;

/// A pipe between two sockets.
#[derive(Debug)]
pub(super) struct Pipe {
    from: OwnedFd,
    to: OwnedFd,
    held: usize,
}

thread_local! {
    static SPARES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    /// A pipe that is not in use. `None` where there is none to be had: copying
    /// does as well.
    pub(super) fn borrow() -> Option<Self> {
        SPARES.with_borrow_mut(Vec::pop).or_else(|| {
            let (from, to) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).ok()?;
            // Err: it holds less.
            let _ = fcntl(&to, FcntlArg::F_SETPIPE_SZ(ROOM));
            Some(Self { from, to, held: 0 })
        })
    }

    /// Its use is over. What it still holds belongs to nobody else.
    pub(super) fn give_back(self) {
        if !self.is_empty() {
            return;
        }
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Passes on what there is. Ready when the end has come.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &TcpStream,
        writer: &TcpStream,
        passed: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while self.held > 0 {
                ready!(writer.poll_write_ready(cx)).map_err(Broken::Writing)?;
                let spliced =
                    writer.try_io(Interest::WRITABLE, || move_bytes(&self.from, writer, self.held));
                match spliced {
                    Ok(0) => {
                        return Poll::Ready(Err(Broken::Writing(io::ErrorKind::WriteZero.into())));
                    }
                    Ok(count) => {
                        self.held -= count;
                        *passed += count as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(Broken::Writing(error))),
                }
            }
            ready!(reader.poll_read_ready(cx)).map_err(Broken::Reading)?;
            let spliced =
                reader.try_io(Interest::READABLE, || move_bytes(reader, &self.to, ROOM as usize));
            match spliced {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => self.held += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Broken::Reading(error))),
            }
        }
    }
}

fn move_bytes(
    from: &impl std::os::fd::AsFd,
    to: &impl std::os::fd::AsFd,
    most: usize,
) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    Ok(splice(from, None, to, None, most, flags)?)
}
