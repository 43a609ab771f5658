//! Clients: a well-behaved one, and one that writes bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Response, redirect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No response takes this long when a test passes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every name is this machine.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(async {
            Ok(Box::new(std::iter::once(SocketAddr::from(([127, 0, 0, 1], 0)))) as Addrs)
        })
    }
}

/// A client that follows no redirects.
#[derive(Clone)]
pub struct Client(pub reqwest::Client);

impl Client {
    fn builder() -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .dns_resolver(Arc::new(Loopback))
    }

    /// For plain HTTP/1.1.
    pub fn plain() -> Self {
        Self(Self::builder().http1_only().build().unwrap())
    }

    /// For plain HTTP/1.1, a new connection for every request.
    pub fn unpooled() -> Self {
        Self(Self::builder().http1_only().pool_max_idle_per_host(0).build().unwrap())
    }

    /// For plain HTTP/1.1 from an address of this machine.
    pub fn from(address: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        Self(Self::builder().http1_only().local_address(address).build().unwrap())
    }

    /// For TLS, trusting one authority; HTTP/2 where it is offered.
    pub fn trusting(authority: &str) -> Self {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        Self(Self::builder().tls_certs_only([authority]).build().unwrap())
    }

    /// A response, or nothing when there was none.
    pub async fn get(&self, url: &str) -> Option<Response> {
        self.0.get(url).send().await.ok()
    }

    /// The body of a response that must come.
    pub async fn text(&self, url: &str) -> String {
        self.0.get(url).send().await.unwrap().text().await.unwrap()
    }
}

/// A connection on which a test writes what it likes.
pub struct RawConnection(pub TcpStream);

impl RawConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until what came contains `text`.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = tokio::time::timeout(PATIENCE, self.0.read(&mut buffer))
                .await
                .expect("bytes come")
                .unwrap();
            assert!(read > 0, "closed before {text:?}: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
            if String::from_utf8_lossy(&seen).contains(text) {
                return String::from_utf8(seen).unwrap();
            }
        }
    }

    /// Leaves without a goodbye, so that nobody can take it for a client that has
    /// only stopped sending.
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut seen = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut seen))
            .await
            .expect("it closes")
            .unwrap();
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Sends bytes on a new connection and gives everything that comes back.
    pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
        let mut connection = Self::open(address).await;
        connection.send(bytes).await;
        connection.read_to_end().await
    }
}
