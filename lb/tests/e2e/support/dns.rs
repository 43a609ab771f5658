//! A DNS server that says what a test tells it, over UDP and TCP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// The longest answer over UDP; longer ones are asked for again over TCP.
const LONGEST_DATAGRAM: usize = 512;

const A: u16 = 1;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// What the server says of a name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// An error, by its code.
    Error(u8),
    /// Nothing at all.
    Silence,
}

/// The server could not find out.
pub const SERVFAIL: u8 = 2;
/// There is no such name; what is said of every name that was not set.
pub const NXDOMAIN: u8 = 3;

/// A running server.
pub struct DnsServer {
    pub address: SocketAddr,
    zone: Arc<Zone>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Zone {
    names: Mutex<HashMap<String, Says>>,
    /// Names and kinds that were asked for, with the protocol.
    questions: Mutex<Vec<(String, u16, &'static str)>>,
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.die();
    }
}

impl DnsServer {
    pub async fn start() -> Self {
        // The same port twice: whoever has the other one is asked again.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::new(Zone::default());
        let (for_udp, for_tcp) = (Arc::clone(&zone), Arc::clone(&zone));
        let tasks = [
            tokio::spawn(async move { serve_datagrams(udp, &for_udp).await }),
            tokio::spawn(serve_connections(tcp, for_tcp)),
        ];
        Self { address, zone, tasks }
    }

    /// From now on the name has these addresses, for so many seconds.
    pub fn set(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.say(name, Says::Addresses(addresses, ttl));
    }

    /// From now on this is said of the name.
    pub fn say(&self, name: &str, says: Says) {
        self.zone.names.lock().unwrap().insert(name.to_owned(), says);
    }

    /// How often the name's A records were asked for.
    pub fn asked(&self, name: &str) -> usize {
        let questions = self.zone.questions.lock().unwrap();
        questions.iter().filter(|(asked, kind, _)| asked == name && *kind == A).count()
    }

    /// Whether something was asked over TCP.
    pub fn asked_over_tcp(&self) -> bool {
        self.zone.questions.lock().unwrap().iter().any(|(.., protocol)| *protocol == "tcp")
    }

    /// From now on nobody listens.
    pub fn die(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve_datagrams(socket: UdpSocket, zone: &Zone) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(mut answer) = zone.answer(&buffer[..length], "udp") else { continue };
        if answer.len() > LONGEST_DATAGRAM {
            // Only the question is left, and TC says so.
            answer[2] |= 0b10;
            answer[6..12].fill(0);
            answer.truncate(question_end(&answer).unwrap());
        }
        let _ = socket.send_to(&answer, peer).await;
    }
}

async fn serve_connections(listener: TcpListener, zone: Arc<Zone>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let zone = Arc::clone(&zone);
        connections.spawn(async move {
            let _ = serve_connection(stream, &zone).await;
        });
    }
}

async fn serve_connection(mut stream: TcpStream, zone: &Zone) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await?;
        let Some(answer) = zone.answer(&query, "tcp") else { continue };
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await?;
        stream.write_all(&answer).await?;
    }
}

impl Zone {
    fn answer(&self, query: &[u8], protocol: &'static str) -> Option<Vec<u8>> {
        let end = question_end(query)?;
        let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
        let name = name(query)?;
        self.questions.lock().unwrap().push((name.clone(), kind, protocol));
        let says = self.names.lock().unwrap().get(&name).cloned();
        let (error, addresses, ttl) = match says {
            Some(Says::Addresses(addresses, ttl)) => (0, addresses, ttl),
            Some(Says::Error(code)) => (code, Vec::new(), 0),
            Some(Says::Silence) => return None,
            None => (NXDOMAIN, Vec::new(), 0),
        };
        let wanted = |address: &&IpAddr| address.is_ipv4() == (kind == A);
        let of_kind: Vec<&IpAddr> = match kind {
            A | AAAA => addresses.iter().filter(wanted).collect(),
            _ => Vec::new(),
        };
        let counts = [1, of_kind.len() as u16, u16::from(of_kind.is_empty()), 0];
        // The id, and: a response, authoritative, recursion desired and available.
        let mut answer = vec![query[0], query[1], 0b1000_0101, 0b1000_0000 | error];
        answer.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        answer.extend(&query[12..end]);
        for address in &of_kind {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            // The name is the question's.
            record(&mut answer, &[0xc0, 12], kind, ttl, &octets);
        }
        if of_kind.is_empty() {
            // Whose negative answer it is: the root's, with everything at 0.
            record(&mut answer, &[0], SOA, 0, &[0; 22]);
        }
        Some(answer)
    }
}

fn record(message: &mut Vec<u8>, name: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    message.extend(name);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
}

/// The lengths of the question's labels, and where they stand.
fn labels(message: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels, at));
        }
        labels.push(message.get(at..at + length)?);
        at += length;
    }
}

fn name(message: &[u8]) -> Option<String> {
    let (labels, _) = labels(message)?;
    let labels: Vec<String> =
        labels.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    Some(labels.join("."))
}

/// Where the question ends, its kind and class included.
fn question_end(message: &[u8]) -> Option<usize> {
    let end = labels(message)?.1 + 4;
    (message.len() >= end).then_some(end)
}
