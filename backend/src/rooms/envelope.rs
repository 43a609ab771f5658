//! How a message travels between instances: 16 bytes that say which instance sent it, one
//! byte for its kind, and its text or bytes.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;

use super::Message;

const TEXT: u8 = b't';
const BINARY: u8 = b'b';
const HEAD_LENGTH: usize = 17;

/// A message, and who sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) sender: u128,
    pub(super) message: Message,
}

pub(super) fn encode(sender: u128, message: &Message) -> Vec<u8> {
    let (kind, payload) = match message {
        Message::Text(text) => (TEXT, text.as_bytes()),
        Message::Binary(bytes) => (BINARY, &bytes[..]),
    };
    let mut envelope = Vec::with_capacity(HEAD_LENGTH + payload.len());
    envelope.extend_from_slice(&sender.to_be_bytes());
    envelope.push(kind);
    envelope.extend_from_slice(payload);
    envelope
}

/// `None` if it is none of ours.
pub(super) fn decode(envelope: &[u8]) -> Option<Envelope> {
    let (sender, rest) = envelope.split_first_chunk()?;
    let (&kind, payload) = rest.split_first()?;
    let message = match kind {
        TEXT => Message::Text(Utf8Bytes::from(std::str::from_utf8(payload).ok()?)),
        BINARY => Message::Binary(Bytes::copy_from_slice(payload)),
        _ => return None,
    };
    Some(Envelope { sender: u128::from_be_bytes(*sender), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let bytes: Vec<u8> = (0..=255).collect();
        for message in [
            Message::Text("Grüße".into()),
            Message::Text("".into()),
            Message::Binary(bytes.into()),
            Message::Binary(Bytes::new()),
        ] {
            let envelope = encode(u128::MAX - 1, &message);
            assert_eq!(decode(&envelope), Some(Envelope { sender: u128::MAX - 1, message }));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_nothing() {
        let text = |kind: u8, payload: &[u8]| [&[0; 16][..], &[kind], payload].concat();
        assert!(decode(&text(TEXT, b"a")).is_some());
        for envelope in [vec![], vec![0; 15], vec![0; 16], text(b'?', b"a"), text(TEXT, b"\xff")] {
            assert_eq!(decode(&envelope), None, "{envelope:?}");
        }
    }
}
