//! lb's status server: a client that keeps its connection, and what is read off
//! the metrics.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the status server.
#[derive(Debug)]
pub(crate) struct Status {
    address: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Status {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub(crate) async fn is_ready(&mut self) -> bool {
        matches!(self.get("/readyz").await, Ok((StatusCode::OK, _)))
    }

    pub(crate) async fn metrics(&mut self) -> io::Result<Metrics> {
        match self.get("/metrics").await? {
            (StatusCode::OK, text) => Ok(Metrics(text)),
            (status, _) => Err(io::Error::other(format!("/metrics answers {status}"))),
        }
    }

    async fn get(&mut self, path: &str) -> io::Result<(StatusCode, String)> {
        match timeout(PATIENCE, self.exchange(path)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.connection = None;
                Err(error)
            }
            Err(_) => {
                self.connection = None;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    async fn exchange(&mut self, path: &str) -> io::Result<(StatusCode, String)> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        connection.ready().await.map_err(io::Error::other)?;
        let request = Request::get(path)
            .header(header::HOST, "status")
            .body(Empty::new())
            .map_err(io::Error::other)?;
        let response = connection.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        self.connection = Some(connection);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn connect(&self) -> io::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Metrics in Prometheus' text format.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum of the series of `name` that have all of `labels`; `None` if there
    /// is no such series.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut sum = None;
        for line in self.0.lines() {
            let Some(rest) = line.strip_prefix(name) else { continue };
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => match rest.rsplit_once("} ") {
                    Some(parts) => parts,
                    None => continue,
                },
                None => match rest.strip_prefix(' ') {
                    Some(value) => ("", value),
                    // A longer name.
                    None => continue,
                },
            };
            let has = |(label, wanted): &(&str, &str)| {
                found.split(',').any(|pair| pair == format!("{label}=\"{wanted}\""))
            };
            if let (true, Ok(value)) = (labels.iter().all(has), value.trim().parse::<f64>()) {
                *sum.get_or_insert(0.0) += value;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let metrics = Metrics(
            "# TYPE lb_x gauge\nlb_x{a=\"1\",b=\"x:1\"} 2\nlb_x{a=\"2\",b=\"x:1\"} 3\nlb_x_more 7\nlb_y 4\n"
                .to_owned(),
        );
        assert_eq!(metrics.sum("lb_x", &[]), Some(5.0));
        assert_eq!(metrics.sum("lb_x", &[("a", "2")]), Some(3.0));
        assert_eq!(metrics.sum("lb_x", &[("a", "2"), ("b", "x:1")]), Some(3.0));
        assert_eq!(metrics.sum("lb_x", &[("a", "3")]), None);
        assert_eq!(metrics.sum("lb_y", &[]), Some(4.0));
    }
}
