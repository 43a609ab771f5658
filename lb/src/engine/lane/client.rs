//! The client's side of an exchange, as the lane needs it.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream from and to a client.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// How many bytes the client has acknowledged; `None` where nobody counts.
    fn acknowledged(&self) -> Option<u64>;
    /// Whether the client has reset the connection, though something of it may
    /// lie unread.
    fn is_reset(&self) -> bool;
}
