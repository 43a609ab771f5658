//! A process, and those that take over from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Lb, Origin, eventually};

/// A running `lb` with a program of its own, which can be replaced, and a pid file.
pub struct Family {
    pub lb: Lb,
    program: PathBuf,
    pub pid_file: PathBuf,
    directory: TempDir,
}

/// Whoever serves at the end is ended too.
impl Drop for Family {
    fn drop(&mut self) {
        if let Some(pid) = read_pid(&self.pid_file)
            && fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe.starts_with(self.directory.path()))
        {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

fn read_pid(path: &PathBuf) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// One endpoint, in clear and over TLS.
pub fn yaml(origin: &Origin) -> String {
    format!(
        r#"
workers: 2
shutdown: {{ drain_timeout: 20s, handover_timeout: 20s }}
listeners:
  http: {{ bind: ["127.0.0.1:0"] }}
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }} }}
upstreams:
  api:
    endpoints: [{{ address: "{}" }}]
    health_check: {{ path: /check, interval: 1s }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: api }}
      - {{ match: {{ path_prefix: /ws }}, upstream: api, websocket: true }}
"#,
        origin.address
    )
}

impl Family {
    pub async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, Command::new("sh")).await
    }

    /// The same, under a service manager that listens at a socket.
    pub async fn start_notifying(yaml: &str, socket: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.env("NOTIFY_SOCKET", socket);
        Self::start_with(yaml, shell).await
    }

    async fn start_with(yaml: &str, mut shell: Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("lb-program");
        fs::copy(env!("CARGO_BIN_EXE_lb"), directory.path().join("lb-1")).unwrap();
        // Deployed as it often is: what is called is a link to a version.
        std::os::unix::fs::symlink(directory.path().join("lb-1"), &program).unwrap();
        let pid_file = directory.path().join("lb.pid");
        // The shell gives its place to the program, with the pid file behind what
        // the harness says.
        shell.args(["-c", "exec \"$0\" \"$@\" --pid-file \"$PID_FILE\""]);
        shell.arg(&program).env("PID_FILE", &pid_file);
        let lb = Lb::launch_as(yaml, shell).await;
        lb.ready().await;
        Self { lb, program, pid_file, directory }
    }

    /// The process that the pid file names.
    pub fn pid(&self) -> Option<u32> {
        read_pid(&self.pid_file)
    }

    /// Puts another program at the place of this one.
    pub fn replace_program(&self, script: &str) {
        let aside = self.program.with_extension("new");
        fs::write(&aside, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&aside, mode).unwrap();
        fs::rename(&aside, &self.program).unwrap();
    }

    /// Puts the real program back.
    pub fn restore_program(&self) {
        let aside = self.program.with_extension("new");
        fs::copy(env!("CARGO_BIN_EXE_lb"), &aside).unwrap();
        fs::rename(&aside, &self.program).unwrap();
    }

    /// Points the link to another version, and removes the first.
    pub fn deploy(&self) -> PathBuf {
        let next = self.directory.path().join("lb-2");
        fs::copy(env!("CARGO_BIN_EXE_lb"), &next).unwrap();
        let aside = self.program.with_extension("new");
        std::os::unix::fs::symlink(&next, &aside).unwrap();
        fs::rename(&aside, &self.program).unwrap();
        fs::remove_file(self.directory.path().join("lb-1")).unwrap();
        next
    }

    pub fn remove_program(&self) {
        fs::remove_file(&self.program).unwrap();
    }

    /// The arguments that started it, as the program sees them.
    pub fn config(&self) -> PathBuf {
        self.lb.path("lb.yaml")
    }

    /// Asks the process of the pid file to hand over.
    pub fn ask(&self) -> u32 {
        let pid = self.pid().expect("a process serves");
        signal(pid, "USR2");
        pid
    }

    /// Hands over, and waits until the new process serves.
    pub async fn hand_over(&self) -> u32 {
        let old = self.ask();
        let lb = &self.lb;
        let pid_file = self.pid_file.clone();
        let new = eventually("another process in the pid file", move || {
            read_pid(&pid_file).filter(|pid| *pid != old)
        });
        let new = new.await;
        assert!(!lb.log().contains("not handed over"), "{}", lb.log());
        new
    }
}

pub fn signal(pid: u32, signal: &str) {
    let sent =
        std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Waits until a process is gone, or nobody has waited for it.
pub async fn gone(pid: u32) {
    eventually(&format!("process {pid} to end"), || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat"));
        let ended = state.map_or(true, |state| {
            state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
        });
        ended.then_some(())
    })
    .await;
}

/// A moment that is no wait for anything: in it something must not happen.
pub const MOMENT: Duration = Duration::from_millis(300);
