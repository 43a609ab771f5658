//! A running `lb`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::{Certificates, Client, engine};

/// Long enough for the slowest machine; no test waits this long when it passes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `lb`, killed when dropped.
pub struct Lb {
    child: Child,
    pub directory: TempDir,
    pub certificates: Certificates,
    addresses: HashMap<String, SocketAddr>,
    pub status: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    access: Arc<Mutex<Vec<String>>>,
}

impl Lb {
    /// Starts `lb` and waits until it is ready. The YAML has no `version` and
    /// no `status`; its listeners bind port 0, and get the engine of the suite. Certificates `api` (api.test,
    /// localhost, 127.0.0.1) and `www` (www.test, *.wild.test) lie beside it.
    pub async fn start(yaml: &str) -> Self {
        let lb = Self::launch(yaml).await;
        lb.ready().await;
        lb
    }

    /// Starts `lb` and waits only until its sockets are bound.
    pub async fn launch(yaml: &str) -> Self {
        Self::launch_as(yaml, Command::new(env!("CARGO_BIN_EXE_lb"))).await
    }

    /// The same, with so many descriptors.
    #[allow(dead_code, reason = "of the tests that share this, only some need it")]
    pub async fn launch_with_descriptors(yaml: &str, descriptors: u32) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_lb")]);
        Self::launch_as(yaml, shell).await
    }

    /// The same with another program in front, which ends up being `lb`.
    #[allow(dead_code, reason = "of the tests that share this, only some need it")]
    pub async fn start_through(command: Command, yaml: &str) -> Self {
        let lb = Self::launch_as(yaml, command).await;
        lb.ready().await;
        lb
    }

    /// Starts `lb` with a file that is there already.
    #[allow(dead_code, reason = "of the tests that share this, only some need it")]
    pub async fn start_from(config: &Path) -> Self {
        let (directory, certificates) = workplace();
        let command = Command::new(env!("CARGO_BIN_EXE_lb"));
        let lb = Self::run(command, config, directory, certificates).await;
        lb.ready().await;
        lb
    }

    /// Starts `lb` as `command` would.
    #[allow(dead_code, reason = "of the tests that share this, only some need it")]
    pub async fn launch_as(yaml: &str, command: Command) -> Self {
        let (directory, certificates) = workplace();
        let config = directory.path().join("lb.yaml");
        std::fs::write(&config, Self::written(yaml)).unwrap();
        Self::run(command, &config, directory, certificates).await
    }

    /// The whole text of a configuration, as it is written to the file.
    pub fn written(yaml: &str) -> String {
        let yaml = engine().carries(yaml);
        format!("version: 1\nstatus: {{ address: \"127.0.0.1:0\" }}\n{yaml}")
    }

    async fn run(
        mut command: Command,
        config: &Path,
        directory: TempDir,
        certificates: Certificates,
    ) -> Self {
        let mut child = command
            .args(["run", "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = follow(child.stderr.take().unwrap());
        let access = follow(child.stdout.take().unwrap());
        let serving = eventually("lb to say that it serves", || {
            let log = log.lock().unwrap();
            log.iter().find(|line| line.contains(" serving ")).cloned()
        });
        let serving = tokio::select! {
            serving = serving => serving,
            status = child.wait() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                panic!("lb ended with {status:?}:\n{}", log.lock().unwrap().join("\n"))
            }
        };
        let status = field(&serving, "status").parse().unwrap();
        let mut addresses = HashMap::new();
        for line in log.lock().unwrap().iter().filter(|line| line.contains(" listening ")) {
            // The first address of a listener is the one that tests use.
            if let Ok(address) = field(line, "address").parse() {
                addresses.entry(field(line, "listener")).or_insert(address);
            }
        }
        Self { child, directory, certificates, addresses, status, log, access }
    }

    /// Waits until /readyz is 200.
    pub async fn ready(&self) {
        let client = Client::plain();
        let url = format!("http://{}/readyz", self.status);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if client.get(&url).await.is_some_and(|response| response.status() == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "lb is never ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The address of a listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self
            .addresses
            .get(listener)
            .unwrap_or_else(|| panic!("no listener {listener}:\n{}", self.log()))
    }

    /// A URL on a plain listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("http"))
    }

    /// A URL on the TLS listener, by a name of its certificates.
    pub fn secure_url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address("https").port())
    }

    /// A client that trusts our authority and finds every test name here.
    pub fn client(&self) -> Client {
        Client::trusting(&self.certificates.authority)
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("lb runs")
    }

    /// Sends a signal by name: TERM, INT, USR1, ...
    pub fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end and gives the exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("lb ends").unwrap().code()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(super) fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of its log.
    pub async fn logged(&self, text: &str) -> String {
        eventually(&format!("the log to say {text:?}"), || {
            self.log.lock().unwrap().iter().find(|line| line.contains(text)).cloned()
        })
        .await
    }

    /// Waits for an access line that `wanted` accepts.
    pub async fn access_line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually("an access line", || {
            let lines = self.access.lock().unwrap();
            lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line| wanted(line))
        })
        .await
    }

    /// Every access line so far, as written.
    pub fn access_lines(&self) -> Vec<String> {
        self.access.lock().unwrap().clone()
    }

    /// The metrics page.
    pub async fn metrics(&self) -> String {
        Client::plain().text(&format!("http://{}/metrics", self.status)).await
    }

    /// The sum of all series of a metric whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.metrics()
            .await
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has a value.
    pub async fn metric_becomes(&self, name: &str, labels: &[&str], wanted: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name, labels).await;
            if value == wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name}{labels:?} is {value}, never {wanted}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory, in bytes.
    pub fn resident_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What the memory is made of, as the kernel sums it up.
    pub fn memory_in_detail(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A directory with the certificates that every configuration may name. Others may
/// read it, for the tests whose `lb` is somebody else.
fn workplace() -> (TempDir, Certificates) {
    let directory = TempDir::new().unwrap();
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).unwrap();
    let certificates = Certificates::new(directory.path());
    certificates.issue("api", &["api.test", "localhost", "127.0.0.1"]);
    certificates.issue("www", &["www.test", "*.wild.test"]);
    (directory, certificates)
}

/// Waits until `look` finds something; fails after a bounded time.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The sample backend, which `cargo test --workspace` builds beside us.
pub fn backend_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_lb")).with_file_name("backend");
    assert!(
        path.exists(),
        "{} is missing; run cargo build -p backend --bin backend first",
        path.display()
    );
    path
}

fn follow(output: impl AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut output = BufReader::new(output).lines();
        while let Ok(Some(line)) = output.next_line().await {
            sink.lock().unwrap().push(line);
        }
    });
    lines
}

pub(super) fn field(line: &str, name: &str) -> String {
    let start = line.find(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"))
        + name.len()
        + 1;
    line[start..].split_whitespace().next().unwrap_or_default().to_owned()
}
