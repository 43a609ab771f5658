//! Writes the bytes of a case and reads what comes back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::case::{Case, End, Outcome};
use crate::wire::{self, Response};

/// How the bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// So many bytes, and the rest when the other side has read those.
    SplitAt(usize),
}

impl Pace {
    /// At once; and split at every second of five places, which are inside the
    /// line end of the request line and behind it, inside the head and its last
    /// line end, and before the last byte. `turn` says at which half of them.
    pub fn of(bytes: &[u8], turn: usize) -> Vec<Self> {
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        let mut offsets = vec![first_line, first_line + 1, head / 2 + 7, head + 3];
        offsets.push(bytes.len() - 1);
        offsets.retain(|offset| (1..bytes.len()).contains(offset));
        offsets.sort_unstable();
        offsets.dedup();
        let splits = offsets.into_iter().skip(turn % 2).step_by(2).map(Self::SplitAt);
        [Self::AtOnce].into_iter().chain(splits).collect()
    }
}

/// How the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The other side closed it first.
    Closed,
    /// The other side closed it when we had.
    ClosedAfterUs,
    Reset,
    /// Nothing came any more, and it was not closed.
    Silence,
}

/// What came back.
#[derive(Debug)]
pub struct Seen {
    /// Final responses.
    pub responses: Vec<Response>,
    /// Bytes behind them.
    pub rest: Vec<u8>,
    pub ending: Ending,
}

impl Seen {
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for Response { status, fields, body } in &self.responses {
            let why = wire::values(fields, "proxy-status").concat();
            let (why, body) = (String::from_utf8_lossy(&why), String::from_utf8_lossy(body));
            text += &format!("{status} [{why}] {:?}; ", body.trim_end());
        }
        if !self.rest.is_empty() {
            text += &format!("then {:?}; ", String::from_utf8_lossy(&self.rest));
        }
        format!("{text}{:?}", self.ending)
    }
}

pub async fn exchange(address: SocketAddr, case: &Case, pace: Pace, patience: Duration) -> Seen {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let split = match pace {
        Pace::AtOnce => case.bytes.len(),
        Pace::SplitAt(offset) => offset,
    };
    let (first, second) = case.bytes.split_at(split);
    // Whoever refuses early need not take the rest.
    let _ = stream.write_all(first).await;
    if !second.is_empty() {
        until_read(&stream, address, patience).await;
        let _ = stream.write_all(second).await;
    }
    if case.leaves {
        let _ = stream.shutdown().await;
    }
    read(stream, case, patience).await
}

/// Reads responses until the other side closes. When as many have come as may
/// come, we close our side: whatever is still under way comes after them.
async fn read(mut stream: TcpStream, case: &Case, patience: Duration) -> Seen {
    let enough = case.outcomes.iter().filter_map(quiet_after).max();
    let most = case.outcomes.iter().map(|outcome| outcome.forwarded.len()).max().unwrap_or(0);
    let mut seen = Seen { responses: Vec::new(), rest: Vec::new(), ending: Ending::Silence };
    let mut left = case.leaves;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let complete = Some(seen.responses.len()) == enough;
        // Nothing gets better any more.
        let failed = seen.responses.iter().filter(|response| response.is_echo()).count() > most;
        if !left && (complete || failed) {
            left = true;
            let _ = stream.shutdown().await;
        }
        let read = tokio::time::timeout(patience, stream.read(&mut buffer)).await;
        let ended = match read {
            Ok(Ok(0)) if left => Some(Ending::ClosedAfterUs),
            Ok(Ok(0)) => Some(Ending::Closed),
            Ok(Ok(read)) => {
                seen.rest.extend_from_slice(&buffer[..read]);
                None
            }
            Ok(Err(_)) => Some(Ending::Reset),
            Err(_) => Some(Ending::Silence),
        };
        take_responses(&mut seen, case, ended.is_some());
        if let Some(ending) = ended {
            return Seen { ending, ..seen };
        }
    }
}

/// After how many responses nothing may come any more, though the connection
/// may stay open.
fn quiet_after(outcome: &Outcome) -> Option<usize> {
    match outcome.end {
        End::Quiet => Some(outcome.forwarded.len()),
        End::Answered(_) => Some(outcome.forwarded.len() + 1),
        End::Refused(_) | End::Broken(_) | End::Closed => None,
    }
}

fn take_responses(seen: &mut Seen, case: &Case, ended: bool) {
    while !seen.rest.is_empty() {
        let index = seen.responses.len();
        let known = case.outcomes.iter().find_map(|outcome| outcome.forwarded.get(index));
        let head_only = match known {
            Some(message) => message.method == "HEAD",
            None => index == 0 && case.bytes.starts_with(b"HEAD "),
        };
        // Err: it stays where it is, and is complained about.
        let Ok(Some((response, length))) = wire::read_response(&seen.rest, head_only, ended) else {
            return;
        };
        seen.rest.drain(..length);
        if response.status >= 200 || response.status == 101 {
            seen.responses.push(response);
        }
    }
}

/// Waits until the other side has read everything that was written: the kernel
/// says what is left in its receive queue (proc(5), `/proc/net/tcp`).
async fn until_read(stream: &TcpStream, peer: SocketAddr, patience: Duration) {
    let ends = format!(" {} {} ", in_hex(peer), in_hex(stream.local_addr().unwrap()));
    let deadline = Instant::now() + patience;
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let unread = table.lines().find(|line| line.contains(&ends)).is_some_and(|line| {
            let queues = line.split_whitespace().nth(4).unwrap_or_default();
            !queues.ends_with(":00000000")
        });
        if !unread || Instant::now() > deadline {
            return;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

fn in_hex(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port())
        }
        SocketAddr::V6(_) => panic!("the listeners of these tests are IPv4"),
    }
}
