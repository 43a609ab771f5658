//! A small WebSocket client for the command line:
//!
//! ```text
//! ws wss://localhost:8443/ws --ca certs/dev/ca.pem --message hello
//! ws ws://127.0.0.1:8000/ws?room=lobby
//! ```
//!
//! With `--message` it sends each, prints the answer to each, and closes.
//! Without, it sends the lines of the standard input and prints what it
//! receives until either side ends.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use http::Uri;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A WebSocket client.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to connect: ws://HOST[:PORT]/PATH, or wss://…
    url: Uri,

    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Send this, print the answer, and close at the end; may be repeated.
    #[arg(long = "message", value_name = "TEXT")]
    messages: Vec<String>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        // At once: reading the standard input cannot be cancelled, and would
        // hold up the end of the runtime.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("ws: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let stream = connect(&arguments.url, arguments.ca.as_deref()).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(arguments.url, stream).await?;
    if arguments.messages.is_empty() {
        converse(&mut socket).await
    } else {
        ask(&mut socket, arguments.messages).await
    }
}

async fn connect(url: &Uri, ca: Option<&Path>) -> Result<Box<dyn Stream>> {
    let is_tls = match url.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err("the URL must begin with ws:// or wss://".into()),
    };
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let host = url.host().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });

    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if !is_tls {
        return Ok(Box::new(stream));
    }
    let connector = TlsConnector::from(Arc::new(tls(ca)?));
    Ok(Box::new(connector.connect(ServerName::try_from(host)?, stream).await?))
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("there are no certificates to trust".into());
    }

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The upgrade is one of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn ask(socket: &mut Socket, messages: Vec<String>) -> Result<()> {
    for message in messages {
        socket.send(Message::text(message)).await?;
        loop {
            let answer = socket.next().await.ok_or("the server closed without an answer")??;
            if answer.is_close() {
                return Err(format!("the server closed: {}", describe(&answer)).into());
            }
            if answer.is_text() || answer.is_binary() {
                println!("{}", describe(&answer));
                break;
            }
        }
    }
    close(socket).await
}

async fn converse(socket: &mut Socket) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => socket.send(Message::text(line)).await?,
                None => return close(socket).await,
            },
            message = socket.next() => match message {
                None => return Ok(()),
                Some(message) => match message? {
                    message @ (Message::Text(_) | Message::Binary(_)) => {
                        println!("{}", describe(&message));
                    }
                    message @ Message::Close(_) => eprintln!("closed: {}", describe(&message)),
                    _ => {}
                },
            },
        }
    }
}

/// Says goodbye, and prints what was still on its way.
async fn close(socket: &mut Socket) -> Result<()> {
    socket.close(None).await?;
    while let Some(message) = socket.next().await {
        match message {
            Ok(message) if message.is_text() || message.is_binary() => {
                println!("{}", describe(&message));
            }
            Ok(_) => {}
            // We are leaving anyway; TLS without its own goodbye ends so.
            Err(tokio_tungstenite::tungstenite::Error::Io(error))
                if error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn describe(message: &Message) -> String {
    match message {
        Message::Text(text) => text.to_string(),
        Message::Binary(bytes) => format!("({} bytes)", bytes.len()),
        Message::Close(Some(frame)) => format!("{} {}", u16::from(frame.code), frame.reason),
        _ => "without a reason".to_owned(),
    }
}
