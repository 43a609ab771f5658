//! What is built here: the backends, the frontends, and `lb` in front of them.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ADMIN_EMAIL, BACKENDS, FRONTENDS, NODES, POSTGRES_PORT, Part, REPLICAS, STATUS_PORT};
use super::{Options, redis_port};
use crate::error::Result;
use crate::place::Place;
use crate::postgres::{DATABASE, USER};
use crate::process::{Lifetime, Process, Program};
use crate::{secret, wait};

/// How long one may take until it answers; a debug build on a busy machine needs a few seconds.
const READY: Duration = Duration::from_secs(60);

/// Starts those of the three kinds that do not run, one after the other, and waits for each.
pub(super) fn start(place: &Place, options: &Options) -> Result<Vec<Process>> {
    let admin_password = place.path().join("admin-password");
    secret::password_in(&admin_password)?;
    let mut started = Vec::new();
    let apps = (1..=BACKENDS).map(Part::Backend).chain((1..=FRONTENDS).map(Part::Frontend));
    for part in apps.chain([Part::Lb]) {
        if part.running(place.path()).is_some() {
            continue;
        }
        let program = program(part, place, options);
        let mut process = program.start()?;
        let (port, path) = match part {
            // Ready when endpoints have passed their first checks.
            Part::Lb => (STATUS_PORT, "/readyz"),
            _ => (part.port(), "/health"),
        };
        wait::until(READY, &format!("{part} that answers"), || {
            if !process.is_running() {
                return Err(program.ended());
            }
            Ok(is_ok(port, path))
        })?;
        started.push(process);
    }
    Ok(started)
}

fn program(part: Part, place: &Place, options: &Options) -> Program {
    let name = part.to_string();
    let listen = || vec!["--listen".into(), format!("127.0.0.1:{}", part.port()).into()];
    let (path, arguments, environment): (PathBuf, Vec<OsString>, _) = match part {
        Part::Lb => {
            let config = options.config.clone().into();
            (options.lb.clone(), vec!["run".into(), "--config".into(), config], Vec::new())
        }
        Part::Frontend(_) => {
            let role = ["--role".into(), "frontend".into()];
            (options.backend.clone(), [listen(), role.into()].concat(), instance(&name))
        }
        _ => {
            let environment = [instance(&name), api_environment(place.path())].concat();
            (options.backend.clone(), listen(), environment)
        }
    };
    Program {
        path,
        arguments,
        environment,
        user: None,
        log: place.log(&name),
        pid_file: place.pid_file(&name),
        lifetime: Lifetime::ItsOwn,
        death: "KILL",
        name,
    }
}

fn instance(name: &str) -> Vec<(&'static str, OsString)> {
    // Less than `fleet stop` waits.
    vec![("BACKEND_INSTANCE", name.into()), ("BACKEND_DRAIN_TIMEOUT", "10s".into())]
}

/// Where a backend finds its servers. Passwords are in private files: environments are for
/// all of the same user to read.
fn api_environment(directory: &Path) -> Vec<(&'static str, OsString)> {
    let file = |name: &str| directory.join(name).into_os_string();
    let list = |ports: &mut dyn Iterator<Item = u16>| -> OsString {
        ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",").into()
    };
    let replicas = &mut (1..=REPLICAS).map(|number| POSTGRES_PORT + number as u16);
    vec![
        ("POSTGRES_SERVER", "127.0.0.1".into()),
        ("POSTGRES_PORT", POSTGRES_PORT.to_string().into()),
        ("POSTGRES_USER", USER.into()),
        ("POSTGRES_PASSWORD_FILE", file("postgres-password")),
        ("POSTGRES_DB", DATABASE.into()),
        ("POSTGRES_READ_REPLICAS", list(replicas)),
        ("REDIS_NODES", list(&mut (1..=NODES).map(redis_port))),
        ("REDIS_PASSWORD_FILE", file("redis-password")),
        ("BACKEND_SIGNING_KEY_FILE", file("signing.key")),
        ("BACKEND_ADMIN_EMAIL", ADMIN_EMAIL.into()),
        ("BACKEND_ADMIN_PASSWORD_FILE", file("admin-password")),
    ]
}

/// Whether a GET is answered with 200.
fn is_ok(port: u16, path: &str) -> bool {
    let patience = Duration::from_secs(2);
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
