//! Enough of Redis's protocol (RESP 2) to ask a node something.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing that is asked here is longer.
const LONGEST: usize = 16 << 20;
const DEEPEST: usize = 8;

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Text: `OK`, or a value.
    Text(String),
    /// A number.
    Integer(i64),
    /// There is none.
    Nil,
    /// Several.
    Array(Vec<Reply>),
    /// A refusal, as in `MOVED 3999 127.0.0.1:6381`.
    Error(String),
}

impl Reply {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A connection to one node.
pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects and signs in; no step takes longer than `patience`.
    pub(super) fn open(
        address: SocketAddr,
        password: &str,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut connection = Self(BufReader::new(stream));
        match connection.ask(&["AUTH", password])? {
            Reply::Error(message) => Err(io::Error::other(message)),
            _ => Ok(connection),
        }
    }

    /// One command, one answer.
    pub(super) fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", command.len());
        for word in command {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes())?;
        self.reply(0)
    }

    fn reply(&mut self, depth: usize) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(broken)?;
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Integer(rest.parse().map_err(|_| broken())?)),
            "$" | "*" if rest == "-1" => Ok(Reply::Nil),
            "$" => {
                let length = length(rest)?;
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" if depth < DEEPEST => (0..length(rest)?)
                .map(|_| self.reply(depth + 1))
                .collect::<io::Result<_>>()
                .map(Reply::Array),
            _ => Err(broken()),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.by_ref().take(LONGEST as u64).read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(broken)
    }
}

fn length(text: &str) -> io::Result<usize> {
    text.parse().ok().filter(|&length| length <= LONGEST).ok_or_else(broken)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no answer of Redis")
}
