//! What the two processes say to each other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// No packet is longer: an address and a name.
const LONGEST: usize = 16 * 1024;

/// One thing that is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packet {
    /// A listening socket, which comes with the packet.
    Socket(Purpose),
    /// All sockets were sent.
    End,
    /// The new process could serve.
    Prepared,
    /// The old process counts on it.
    Go,
    /// The new process accepts.
    Open,
}

/// What a socket is for. Addresses are as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A listener's.
    Listener {
        address: String,
        /// The listener and which of its addresses, where the system chose the port.
        place: Option<(String, usize)>,
    },
    /// The status server's.
    Status { address: String },
    /// The admin server's.
    Admin { address: String },
}

/// One end of the pair.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// How long receiving and sending may take.
    pub(super) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        // Zero would be for ever.
        let patience = Some(patience.max(Duration::from_millis(1)));
        set_socket_timeout(&self.0, Timeout::Recv, patience)?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, patience)?)
    }

    pub(super) fn send(&self, packet: &Packet, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let text = serde_json::to_vec(packet)?;
        let sockets: Vec<BorrowedFd<'_>> = socket.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        // Whoever has left is an error, no signal.
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next packet. An end of file is an error.
    pub(super) fn receive(&self) -> io::Result<(Packet, Option<OwnedFd>)> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut text)];
            match recvmsg(&self.0, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let packet = serde_json::from_slice(text.get(..received.bytes).unwrap_or_default())?;
        Ok((packet, socket))
    }

    /// The next packet, which has to be this one.
    pub(super) fn expect(&self, wanted: &Packet) -> io::Result<()> {
        let (packet, _) = self.receive()?;
        if packet != *wanted {
            let text = format!("{packet:?} instead of {wanted:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
