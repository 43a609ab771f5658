//! openssl's client.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(30);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";

/// What openssl's client says of a handshake, and nothing else.
pub(crate) async fn handshake(address: SocketAddr, arguments: &[&str]) -> String {
    run(address, arguments, b"").await
}

/// What it says of a handshake and a request. It reads to the end, tickets
/// included, which in TLS 1.3 come after the handshake.
pub(crate) async fn request(address: SocketAddr, arguments: &[&str]) -> String {
    let mut all = vec!["-ign_eof"];
    all.extend(arguments);
    run(address, &all, REQUEST).await
}

/// What it says of what it has sent.
pub(crate) async fn run(address: SocketAddr, arguments: &[&str], input: &[u8]) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl is installed");
    let mut stdin = client.stdin.take().unwrap();
    // Err: the handshake has failed, which its output says.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, client.wait_with_output())
        .await
        .expect("openssl ends")
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The subjectAltName of the certificate in what openssl's client said.
pub(crate) fn names_of_leaf(said: &str, scratch: &Path) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said}"));
    let end = said.find(END).unwrap() + END.len();
    std::fs::write(scratch, &said[begin..end]).unwrap();
    crate::authority::x509(scratch, &["-ext", "subjectAltName"])
}
