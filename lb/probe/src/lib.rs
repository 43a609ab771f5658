//! One GET over plain HTTP, for the health checks of containers whose images have
//! no shell and no curl. No proxy is used, and no redirect is followed: what is
//! asked is this process's neighbour, or itself.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why the answer was not a good one.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The URL is not one that can be asked.
    #[error("{0}: must be http://HOST[:PORT]/PATH")]
    Url(String),
    /// The runtime did not start, or there is no connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// There was a connection, but no answer.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// There was an answer, but not a 2xx.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// It took too long, all together.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Asks `url`, and waits for the head of the answer.
///
/// # Errors
/// If it is not a 2xx, or none comes within `timeout`.
pub fn get(url: &str, timeout: Duration) -> Result<(), ProbeError> {
    let malformed = || ProbeError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(malformed)?;
    // As a name server or a socket wants it: IPv6 without brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(80);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = async { tokio::time::timeout(timeout, ask(&uri, &host, port)).await };
    let answer = runtime.block_on(asking);
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    match answer {
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(ProbeError::Status(status)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ProbeError::Timeout(timeout)),
    }
}

async fn ask(uri: &Uri, host: &str, port: u16) -> Result<StatusCode, ProbeError> {
    let stream = TcpStream::connect((host, port)).await?;
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| ProbeError::Url(uri.to_string()))?;
    let answer = async { Ok(client.send_request(request).await?.status()) };
    tokio::select! {
        status = answer => status,
        // It never ends well before the answer does.
        Err(error) = connection => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Answers one request; gives what it was.
    fn origin(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, serving)
    }

    #[test]
    fn a_2xx_is_good_and_the_request_is_a_plain_one() {
        let (address, serving) = origin("HTTP/1.1 204 No Content\r\n\r\n");
        get(&format!("http://{address}/readyz?x=1"), PATIENCE).unwrap();
        let request = serving.join().unwrap().to_lowercase();
        assert!(request.starts_with("get /readyz?x=1 http/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    }

    #[test]
    fn anything_else_is_not() {
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
            "nonsense\r\n\r\n",
            "",
        ] {
            let (address, serving) = origin(answer);
            assert!(get(&format!("http://{address}/"), PATIENCE).is_err(), "{answer}");
            serving.join().unwrap();
        }
    }

    #[test]
    fn silence_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let silent = get(&url, Duration::from_millis(50));
        assert!(matches!(silent, Err(ProbeError::Timeout(_))), "{silent:?}");
        drop(listener);
        assert!(matches!(get(&url, PATIENCE), Err(ProbeError::Connect(_))));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["", "localhost:80", "https://localhost/", "/health", "http://"] {
            assert!(matches!(get(url, PATIENCE), Err(ProbeError::Url(_))), "{url}");
        }
    }
}
