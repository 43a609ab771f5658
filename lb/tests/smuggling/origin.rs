//! An origin that keeps every byte, and answers a request with its own target.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::RawOrigin;
use crate::wire::{self, Request};

/// Requests whose target holds this are answered `100 Continue` first, asked for or not.
pub const INTERIM: &str = "interim";

pub struct RecordingOrigin {
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
    _origin: RawOrigin,
}

#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Complete requests, in the order in which they were complete.
    pub requests: Vec<Request>,
    pub connections: Vec<Connection>,
}

#[derive(Debug, Default, Clone)]
pub struct Connection {
    /// The beginning of a request that is not complete.
    pub partial: Vec<u8>,
    /// What came is no request that a proxy may send.
    pub fault: Option<String>,
    pub closed: bool,
}

impl Connection {
    /// Whether it holds something other than complete requests.
    pub fn is_odd(&self) -> bool {
        self.fault.is_some() || !self.partial.is_empty()
    }
}

impl RecordingOrigin {
    pub async fn start() -> Self {
        let record = Arc::<Mutex<Record>>::default();
        let shared = Arc::clone(&record);
        let origin = RawOrigin::start(move |stream| {
            let record = Arc::clone(&shared);
            async move {
                let index = {
                    let mut record = record.lock().unwrap();
                    record.connections.push(Connection::default());
                    record.connections.len() - 1
                };
                // Err: the proxy has gone.
                let _ = serve(stream, &record, index).await;
                record.lock().unwrap().connections[index].closed = true;
            }
        })
        .await;
        Self { address: origin.address, record, _origin: origin }
    }

    /// Everything so far.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, record: &Mutex<Record>, index: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut answers = Vec::new();
        let sound = {
            let mut record = record.lock().unwrap();
            record.connections[index].partial.extend_from_slice(&buffer[..read]);
            take_requests(&mut record, index, &mut answers)
        };
        stream.write_all(&answers).await?;
        if !sound {
            return Ok(());
        }
    }
}

/// Moves what is complete to the record and answers it.
fn take_requests(record: &mut Record, index: usize, answers: &mut Vec<u8>) -> bool {
    loop {
        match wire::read_request(&record.connections[index].partial) {
            Ok(Some((request, length))) => {
                answers.extend_from_slice(&answer(&request));
                record.connections[index].partial.drain(..length);
                record.requests.push(request);
            }
            Ok(None) => return true,
            Err(fault) => {
                record.connections[index].fault = Some(fault);
                return false;
            }
        }
    }
}

fn answer(request: &Request) -> Vec<u8> {
    let Request { method, target, .. } = request;
    let interim = if target.contains(INTERIM) { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
    let echo = format!("{method} {target}");
    let body = if method == "HEAD" { "" } else { &echo };
    format!(
        "{interim}HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}: {echo}\r\n\r\n{body}",
        echo.len(),
        wire::ECHO
    )
    .into_bytes()
}
