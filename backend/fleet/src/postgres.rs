//! PostgreSQL: a primary and its streaming replicas.
//!
//! Every call blocks; from async code use `spawn_blocking`.

mod programs;
mod setup;

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::place::Place;
use crate::ports::Ports;
use crate::process::{Farewell, Lifetime, Process, Program};
use crate::user::User;
use crate::{ports, process, secret, wait};
use programs::Programs;
use setup::{Setup, slot};

/// The role that the backends sign in as; it owns the database and is no superuser.
pub const USER: &str = "fastnext";
/// The database of the backends.
pub const DATABASE: &str = "fastnext";

const SUPERUSER: &str = "postgres";
const REPLICATION_USER: &str = "replicator";

/// How long a server may take until it answers; after a crash it replays what it had written.
const READY: Duration = Duration::from_secs(60);

/// How long the system's first process may take to reap what is left to it.
const REAPED: Duration = Duration::from_secs(10);

/// A fast shutdown: it ends sessions, but leaves nothing to replay.
pub(crate) const FAREWELL: Farewell =
    Farewell { signal: Signal::SIGINT, again: false, longest: Duration::from_secs(20) };

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The one that is written to.
    Primary,
    /// A copy of it, counted from 1.
    Replica(usize),
}

impl Server {
    fn all(replicas: usize) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Primary).chain((1..=replicas).map(Self::Replica))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Replica(number) => write!(f, "replica-{number}"),
        }
    }
}

/// What a PostgreSQL with replicas is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many replicas.
    pub replicas: usize,
    /// The ports: of the primary, and of each replica. `None`: free ones.
    pub ports: Option<Vec<u16>>,
    /// Whether what is committed survives a crash of the machine; tests do without.
    pub is_durable: bool,
    /// Whose life the servers share.
    pub lifetime: Lifetime,
}

#[derive(Debug)]
struct Passwords {
    superuser: String,
    application: String,
    replication: String,
}

/// A primary with replicas that stream from it, on 127.0.0.1.
#[derive(Debug)]
pub struct Postgres {
    // First, so that the servers have ended when their directory goes.
    processes: Vec<Option<Process>>,
    settings: Settings,
    ports: Ports,
    passwords: Passwords,
    programs: Programs,
    user: Option<User>,
    place: Place,
}

impl Postgres {
    /// A new one for a test: on free ports, in a directory that goes with it.
    pub fn for_test(replicas: usize) -> Result<Self> {
        let settings =
            Settings { replicas, ports: None, is_durable: false, lifetime: Lifetime::Ours };
        Self::start_in(Place::temporary("postgres")?, settings)
    }

    /// Starts what is in `directory`, or a new one there. Servers that an earlier run
    /// [left](Self::leave) running are taken over, and stay when this is dropped.
    pub fn start(directory: &Path, settings: Settings) -> Result<Self> {
        let place = Place::at(directory, &[Self::user()?])?;
        Self::start_in(place, settings)
    }

    /// Who the servers run as, if not as ourselves.
    pub(crate) fn user() -> Result<Option<User>> {
        User::for_servers(&["postgres"])
    }

    fn start_in(place: Place, settings: Settings) -> Result<Self> {
        let programs = Programs::find()?;
        let user = Self::user()?;
        if let Some(user) = &user {
            user.check_enters(place.path())?;
        }
        let count = settings.replicas + 1;
        let ports = match &settings.ports {
            Some(given) => Ports::given(given),
            None => Ports::free(count)?,
        };
        let file = |name: &str| secret::password_in(&place.path().join(name));
        let passwords = Passwords {
            superuser: file("postgres-superuser-password")?,
            application: file("postgres-password")?,
            replication: file("postgres-replication-password")?,
        };
        let processes = Server::all(settings.replicas)
            .map(|server| server.to_string())
            .map(|name| Process::adopt(&name, &place.pid_file(&name)))
            .collect();
        let mut this = Self { processes, settings, ports, passwords, programs, user, place };
        this.start_all()?;
        Ok(this)
    }

    fn start_all(&mut self) -> Result<()> {
        if !self.is_running(Server::Primary) {
            ports::check_free(&[self.port(Server::Primary)?])?;
            let setup = self.setup();
            if !setup.is_made(Server::Primary) {
                setup.make_primary()?;
            }
            self.start_server(Server::Primary)?;
        }
        let roles = self.setup().roles();
        self.run_sql(Server::Primary, SUPERUSER, "postgres", &self.passwords.superuser, &roles)?;
        for replica in self.replicas() {
            if self.is_running(replica) {
                continue;
            }
            ports::check_free(&[self.port(replica)?])?;
            self.admin_sql(
                Server::Primary,
                &format!(
                    "DO $$ BEGIN
                         IF NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{0}')
                         THEN PERFORM pg_create_physical_replication_slot('{0}', true); END IF;
                     END $$",
                    slot(replica)
                ),
            )?;
            let setup = self.setup();
            if !setup.is_made(replica) {
                setup.make_replica(replica, self.port(Server::Primary)?)?;
            }
            self.start_server(replica)?;
        }
        self.wait_for_replicas()
    }

    /// Where a server listens.
    pub fn address(&self, server: Server) -> Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port(server)?)))
    }

    /// The password of [`USER`].
    pub fn password(&self) -> &str {
        &self.passwords.application
    }

    /// The private file that it is in.
    pub fn password_file(&self) -> PathBuf {
        self.place.path().join("postgres-password")
    }

    /// The replicas, by name.
    pub fn replicas(&self) -> impl Iterator<Item = Server> + use<> {
        (1..=self.settings.replicas).map(Server::Replica)
    }

    /// The id of a server's first process, if it was started and has not been stopped.
    pub fn pid(&self, server: Server) -> Result<Option<u32>> {
        Ok(self.processes[self.index(server)?].as_ref().map(Process::pid))
    }

    /// Runs SQL as [`USER`]; gives the rows, a line each, with `|` between columns.
    pub fn sql(&self, server: Server, sql: &str) -> Result<String> {
        self.run_sql(server, USER, DATABASE, &self.passwords.application, sql)
    }

    /// The same as superuser, who may, say, call `pg_wal_replay_pause()`.
    pub fn admin_sql(&self, server: Server, sql: &str) -> Result<String> {
        self.run_sql(server, SUPERUSER, DATABASE, &self.passwords.superuser, sql)
    }

    /// Stops a server: sessions end, nothing is lost.
    pub fn stop(&mut self, server: Server) -> Result<()> {
        let index = self.index(server)?;
        self.processes[index].take().map_or(Ok(()), |mut process| process.stop(FAREWELL))
    }

    /// Kills all processes of a server at once, as a crash would.
    pub fn kill(&mut self, server: Server) -> Result<()> {
        let index = self.index(server)?;
        if let Some(mut process) = self.processes[index].take() {
            process.kill_tree();
        }
        Ok(())
    }

    /// Starts a server that was stopped or killed, on its port and with its data, and waits
    /// until it answers. One that runs is stopped first.
    pub fn restart(&mut self, server: Server) -> Result<()> {
        self.stop(server)?;
        self.start_server(server)
    }

    /// Waits until every replica that runs receives what the primary writes.
    pub fn wait_for_replicas(&mut self) -> Result<()> {
        let running: Vec<String> = self
            .replicas()
            .filter(|&replica| self.is_running(replica))
            .map(|replica| format!("'{}'", slot(replica)))
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication \
             WHERE state = 'streaming' AND application_name IN ({})",
            running.join(", ")
        );
        let wanted = running.len().to_string();
        wait::until(READY, "replicas that stream from the primary", || {
            Ok(self.admin_sql(Server::Primary, &sql)? == wanted)
        })
    }

    /// Waits until every replica that runs shows what the primary has written so far.
    pub fn wait_for_replay(&mut self) -> Result<()> {
        let position = self.admin_sql(Server::Primary, "SELECT pg_current_wal_lsn()")?;
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        for replica in self.replicas() {
            if self.is_running(replica) {
                wait::until(READY, "what the primary wrote", || {
                    Ok(self.admin_sql(replica, &sql)? == "t")
                })?;
            }
        }
        Ok(())
    }

    /// Stops all servers, the replicas first: they take what the primary still has for them.
    pub fn stop_all(&mut self) -> Result<()> {
        for replica in self.replicas() {
            self.stop(replica)?;
        }
        self.stop(Server::Primary)
    }

    /// Lets the servers run; their pid files say which they are.
    pub fn leave(mut self) {
        for process in self.processes.iter_mut().flatten() {
            process.leave();
        }
    }

    fn is_running(&mut self, server: Server) -> bool {
        self.index(server).is_ok_and(|index| {
            self.processes[index].as_mut().is_some_and(|process| process.is_running())
        })
    }

    fn start_server(&mut self, server: Server) -> Result<()> {
        let index = self.index(server)?;
        let primary = self.port(Server::Primary)?;
        let setup = self.setup();
        setup.configure(server, self.port(server)?, primary)?;
        let data = setup.data(server);
        let name = server.to_string();
        let program = Program {
            path: self.programs.path("postgres"),
            arguments: vec!["-D".into(), data.clone().into()],
            environment: Vec::new(),
            user: self.user.clone(),
            log: self.place.log(&name),
            pid_file: self.place.pid_file(&name),
            lifetime: self.settings.lifetime,
            // An immediate shutdown: its children and its shared memory go with it.
            death: "QUIT",
            name,
        };
        // PostgreSQL takes a killed predecessor for alive until somebody has reaped it.
        wait::for_end(REAPED, || !postmaster(&data).is_some_and(process::is_zombie));
        let mut process = program.start()?;
        wait::until(READY, &format!("{server} that answers"), || {
            if !process.is_running() {
                return Err(program.ended());
            }
            Ok(says_ready(&data, process.pid()))
        })?;
        self.processes[index] = Some(process);
        Ok(())
    }

    fn run_sql(
        &self,
        server: Server,
        role: &str,
        database: &str,
        password: &str,
        sql: &str,
    ) -> Result<String> {
        self.programs.sql(self.port(server)?, role, database, password, sql)
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            programs: &self.programs,
            user: self.user.as_ref(),
            directory: self.place.path(),
            passwords: &self.passwords,
            is_durable: self.settings.is_durable,
        }
    }

    fn port(&self, server: Server) -> Result<u16> {
        Ok(self.ports.get(self.index(server)?))
    }

    fn index(&self, server: Server) -> Result<usize> {
        match server {
            Server::Primary => Ok(0),
            Server::Replica(number) if (1..=self.settings.replicas).contains(&number) => Ok(number),
            Server::Replica(_) => Err(Error::NoSuchServer(server.to_string())),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Data that goes too needs no orderly end; what stays gets one.
        let signal = if self.settings.is_durable { FAREWELL.signal } else { Signal::SIGQUIT };
        for process in self.processes.iter_mut().rev().flatten() {
            process.stop_unless_left(Farewell { signal, ..FAREWELL });
        }
    }
}

/// The process that the data directory's lock file names.
fn postmaster(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether the server says in its `postmaster.pid` that it answers, as pg_ctl asks.
fn says_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}
