//! When what was written has been read, without asking the clock.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::wire::{Framing, Reader};

/// What `lb` answers by itself.
const REQUEST: &str = "GET /moved HTTP/1.1\r\nHost: barrier.test\r\n\r\n";

/// A connection to the only worker. It takes up connections in the order in which
/// bytes come on them: when it has answered here, it has read what came before
/// elsewhere.
#[derive(Default)]
pub struct Barrier(Mutex<Option<TcpStream>>);

impl Barrier {
    pub async fn open(&self, address: SocketAddr) {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        *self.0.lock().await = Some(stream);
    }

    pub async fn pass(&self) {
        let mut stream = self.0.lock().await;
        let stream = stream.as_mut().expect("it is open");
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut reader = Reader::new(stream);
        let mut head = reader.head().await.unwrap().expect("a barrier is answered");
        assert!(head.line.contains(" 302 "), "{head:?}");
        let framing = crate::wire::framing(&mut head.fields).unwrap();
        reader.body(framing.unwrap_or(Framing::Length(0))).await.end.unwrap();
    }
}
