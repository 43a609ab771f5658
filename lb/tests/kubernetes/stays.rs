//! What stays open for long: WebSockets, and downloads.

use reqwest::Response;

use crate::pods::{LAST_PART, POD};
use crate::support::{Client, Lb, RawConnection};

/// A WebSocket, as far as `lb` looks into one, to a pod that sends back what it gets.
pub struct Tunnel {
    connection: RawConnection,
    /// Who is at the other end.
    pub pod: String,
}

impl Tunnel {
    pub async fn open(lb: &Lb) -> Self {
        let mut connection = RawConnection::open(lb.address("http")).await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        connection.send(format!("GET /tunnel HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n")).await;
        let head = connection.read_until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let pod = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(POD).then(|| value.trim().to_owned())
        });
        Self { connection, pod: pod.expect("it says which pod it is") }
    }

    /// One to a pod that is among these.
    pub async fn open_to(lb: &Lb, pods: &[String]) -> Self {
        // Each of the others keeps one, so that the next goes elsewhere.
        let mut others = Vec::new();
        loop {
            let tunnel = Self::open(lb).await;
            if pods.contains(&tunnel.pod) {
                return tunnel;
            }
            others.push(tunnel);
            assert!(others.len() < 1000, "none of {pods:?} is asked");
        }
    }

    /// Sends something and gets it back.
    pub async fn echoes(&mut self, text: &str) {
        self.connection.send(text).await;
        assert_eq!(self.connection.read_until(text).await, text);
    }

    /// Waits until it is closed.
    pub async fn ends_early(mut self) {
        assert_eq!(self.connection.read_to_end().await, "");
    }
}

/// A download that goes on until the pod is told to finish.
pub struct Download {
    response: Response,
    pub pod: String,
}

impl Download {
    pub async fn open(lb: &Lb) -> Self {
        let mut response = Client::unpooled().get(&lb.url("/download")).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut begin = String::new();
        while !begin.contains('>') {
            let part = response.chunk().await.unwrap().expect("its name");
            begin.push_str(std::str::from_utf8(&part).unwrap());
        }
        let (name, _) = begin.split_once('>').unwrap();
        Self { response, pod: format!("{name}>") }
    }

    /// One from a pod that is among these.
    pub async fn open_to(lb: &Lb, pods: &[String]) -> Self {
        let mut others = Vec::new();
        loop {
            let download = Self::open(lb).await;
            if pods.contains(&download.pod) {
                return download;
            }
            others.push(download);
            assert!(others.len() < 1000, "none of {pods:?} is asked");
        }
    }

    /// Waits for the end, which the pod has been told to come to.
    pub async fn ends_whole(self) {
        let rest = self.response.text().await.expect("it is not cut");
        assert!(rest.ends_with(LAST_PART), "{rest:?}");
    }

    /// Waits until it breaks off.
    pub async fn ends_early(self) {
        let rest = self.response.text().await;
        assert!(rest.is_err(), "{rest:?}");
    }
}
