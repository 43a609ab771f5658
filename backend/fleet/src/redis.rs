//! Redis Cluster: three masters and a replica of each.
//!
//! Nodes are numbered from 1, as in `redis-1`. Every call blocks; from async code use
//! `spawn_blocking`.

mod ask;
mod client;
mod join;
mod view;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Doing, Error, Result};
use crate::place::{self, Place};
use crate::ports::Ports;
use crate::process::{Farewell, Lifetime, Process, Program};
use crate::secret::{self, write_private};
use crate::user::User;
use crate::{ports, wait};
pub use client::Reply;

/// How many nodes there are: half of them are masters at first.
pub const NODES: usize = 6;
const MASTERS: usize = 3;

/// From a node's port to that of the bus between nodes, unless told otherwise.
pub(crate) const TO_BUS: u16 = 10_000;

/// How long nodes may take to answer, and to agree.
const READY: Duration = Duration::from_secs(60);

/// It saves and ends, unless it is just making a new file of its writes: then it refuses.
pub(crate) const FAREWELL: Farewell =
    Farewell { signal: Signal::SIGTERM, again: true, longest: Duration::from_secs(20) };

/// What all nodes have in common.
const COMMON: &str = include_str!("../../../config/redis/redis-cluster.conf");

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ports, of which the bus is 10000 above each. `None`: free ones.
    pub ports: Option<[u16; NODES]>,
    /// After how long a silent node counts as gone; `None`: what the file says.
    pub node_timeout: Option<Duration>,
    /// Whose life the nodes share.
    pub lifetime: Lifetime,
}

/// Six nodes on 127.0.0.1.
#[derive(Debug)]
pub struct RedisCluster {
    // First, so that the nodes have ended when their directory goes.
    processes: [Option<Process>; NODES],
    settings: Settings,
    ports: Ports,
    password: String,
    program: PathBuf,
    user: Option<User>,
    place: Place,
}

impl RedisCluster {
    /// A new one for a test: on free ports, in a directory that goes with it.
    pub fn for_test(node_timeout: Duration) -> Result<Self> {
        let settings =
            Settings { ports: None, node_timeout: Some(node_timeout), lifetime: Lifetime::Ours };
        Self::start_in(Place::temporary("redis")?, settings)
    }

    /// Starts what is in `directory`, or a new one there. Nodes that an earlier run
    /// [left](Self::leave) running are taken over, and stay when this is dropped.
    pub fn start(directory: &Path, settings: Settings) -> Result<Self> {
        let place = Place::at(directory, &[Self::user()?])?;
        Self::start_in(place, settings)
    }

    /// Who the nodes run as, if not as ourselves.
    pub(crate) fn user() -> Result<Option<User>> {
        User::for_servers(&["redis"])
    }

    fn start_in(place: Place, settings: Settings) -> Result<Self> {
        let program = find_program()?;
        let user = Self::user()?;
        if let Some(user) = &user {
            user.check_enters(place.path())?;
        }
        let ports = match settings.ports {
            Some(given) => {
                Ports::given(&[given, given.map(|port| port.saturating_add(TO_BUS))].concat())
            }
            None => Ports::free(2 * NODES)?,
        };
        let password = secret::password_in(&place.path().join("redis-password"))?;
        let processes = std::array::from_fn(|index| {
            let name = name(index + 1);
            Process::adopt(&name, &place.pid_file(&name))
        });
        let mut this = Self { processes, settings, ports, password, program, user, place };
        this.start_all()?;
        Ok(this)
    }

    fn start_all(&mut self) -> Result<()> {
        let mark = self.place.path().join("redis-cluster-is-made");
        let is_made = mark.exists();
        for node in 1..=NODES {
            if is_made && self.check_runs(node).is_ok() {
                continue;
            }
            self.stop(node)?;
            ports::check_free(&[self.port(node), self.bus_port(node)])?;
            if !is_made {
                self.make_directory(node)?;
            }
            self.start_node(node)?;
        }
        for node in 1..=NODES {
            self.wait_for_node(node)?;
        }
        if !is_made {
            self.join()?;
        }
        self.wait_until_whole()?;
        fs::write(&mark, "").doing(|| format!("cannot write {}", mark.display()))
    }

    /// Where a node listens.
    pub fn address(&self, node: usize) -> Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.get(index(node)?))))
    }

    /// Where all nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (1..=NODES).filter_map(|node| self.address(node).ok()).collect()
    }

    /// The password that all nodes ask for.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The private file that it is in.
    pub fn password_file(&self) -> PathBuf {
        self.place.path().join("redis-password")
    }

    /// The process id of a node, if it was started and has not been stopped.
    pub fn pid(&self, node: usize) -> Result<Option<u32>> {
        Ok(self.processes[index(node)?].as_ref().map(Process::pid))
    }

    /// Stops a node: it saves and ends.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        self.processes[index(node)?].take().map_or(Ok(()), |mut process| process.stop(FAREWELL))
    }

    /// Kills a node at once, as a crash would.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        if let Some(mut process) = self.processes[index(node)?].take() {
            process.kill_tree();
        }
        Ok(())
    }

    /// Halts a node: its connections stay, and nothing comes from it.
    pub fn pause(&self, node: usize) -> Result<()> {
        self.signal(node, Signal::SIGSTOP)
    }

    /// Lets a halted node go on.
    pub fn resume(&self, node: usize) -> Result<()> {
        self.signal(node, Signal::SIGCONT)
    }

    /// Starts a node that was stopped or killed, on its port and with its data, and waits
    /// until it answers. One that runs is stopped first. Its place in the cluster it finds
    /// afterwards: see [`RedisCluster::wait_until_whole`].
    pub fn restart(&mut self, node: usize) -> Result<()> {
        self.stop(node)?;
        self.start_node(node)?;
        self.wait_for_node(node)
    }

    /// Waits until all six nodes serve, agree on three masters, and replicas have copied.
    pub fn wait_until_whole(&mut self) -> Result<()> {
        let nodes: Vec<usize> = (1..=NODES).collect();
        self.wait_until_serving(&nodes)
    }

    /// Waits until these nodes find the cluster whole, and those of them that are replicas
    /// follow a master: after a fail-over, those that are left.
    pub fn wait_until_serving(&mut self, nodes: &[usize]) -> Result<()> {
        wait::until(READY, "nodes that agree on the cluster", || {
            for &node in nodes {
                self.check_runs(node)?;
            }
            Ok(nodes.iter().all(|&node| self.is_serving(node).unwrap_or(false)))
        })
    }

    /// Stops all nodes.
    pub fn stop_all(&mut self) -> Result<()> {
        (1..=NODES).try_for_each(|node| self.stop(node))
    }

    /// Lets the nodes run; their pid files say which they are.
    pub fn leave(mut self) {
        for process in self.processes.iter_mut().flatten() {
            process.leave();
        }
    }

    fn is_serving(&self, node: usize) -> io::Result<bool> {
        let says = |command: &[&str], wanted: &str| -> io::Result<bool> {
            let reply = self.try_ask(node, command)?;
            Ok(reply.text().is_some_and(|text| text.lines().any(|line| line == wanted)))
        };
        let replication = ["INFO", "replication"];
        Ok(says(&["CLUSTER", "INFO"], "cluster_state:ok")?
            && says(&["CLUSTER", "INFO"], &format!("cluster_size:{MASTERS}"))?
            && says(&["CLUSTER", "INFO"], "cluster_slots_ok:16384")?
            && (says(&replication, "role:master")? || says(&replication, "master_link_status:up")?))
    }

    fn port(&self, node: usize) -> u16 {
        self.ports.get(node - 1)
    }

    fn bus_port(&self, node: usize) -> u16 {
        self.ports.get(NODES + node - 1)
    }

    fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        self.processes[index(node)?].as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    fn directory(&self, node: usize) -> PathBuf {
        self.place.path().join(name(node))
    }

    fn make_directory(&self, node: usize) -> Result<()> {
        let directory = self.directory(node);
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .doing(|| format!("cannot remove {}", directory.display()))?;
        }
        place::make_private(&directory, self.user.as_ref())
    }

    fn program_of(&self, node: usize) -> Program {
        Program {
            name: name(node),
            path: self.program.clone(),
            arguments: vec![self.directory(node).join("node.conf").into()],
            environment: Vec::new(),
            user: self.user.clone(),
            log: self.place.log(&name(node)),
            pid_file: self.place.pid_file(&name(node)),
            lifetime: self.settings.lifetime,
            // Nothing of it outlives it, and one that is paused hears nothing else.
            death: "KILL",
        }
    }

    fn start_node(&mut self, node: usize) -> Result<()> {
        let index = index(node)?;
        let directory = self.directory(node);
        let common = directory.join("common.conf");
        let mut own = format!(
            "# Written by fleet at every start.\n\
             include \"{}\"\n\
             dir \"{}\"\n\
             port {}\n\
             cluster-port {}\n\
             requirepass {password}\n\
             masterauth {password}\n",
            common.display(),
            directory.display(),
            self.port(node),
            self.bus_port(node),
            password = self.password,
        );
        if let Some(timeout) = self.settings.node_timeout {
            own += &format!("cluster-node-timeout {}\n", timeout.as_millis());
        }
        write_private(&common, COMMON, self.user.as_ref())?;
        write_private(&directory.join("node.conf"), &own, self.user.as_ref())?;
        self.processes[index] = Some(self.program_of(node).start()?);
        Ok(())
    }

    fn wait_for_node(&mut self, node: usize) -> Result<()> {
        wait::until(READY, &format!("{} that answers", name(node)), || {
            self.check_runs(node)?;
            // While it reads its data it answers with errors.
            Ok(self.try_ask(node, &["PING"]).is_ok_and(|reply| reply.text().is_some()))
        })
    }

    fn check_runs(&mut self, node: usize) -> Result<()> {
        let is_running =
            self.processes[index(node)?].as_mut().is_some_and(|process| process.is_running());
        if is_running { Ok(()) } else { Err(self.program_of(node).ended()) }
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        // Data that goes too needs no orderly end; what stays gets one.
        let signal = match self.settings.lifetime {
            Lifetime::Ours => Signal::SIGKILL,
            Lifetime::ItsOwn => FAREWELL.signal,
        };
        for process in self.processes.iter_mut().flatten() {
            process.stop_unless_left(Farewell { signal, ..FAREWELL });
        }
    }
}

fn name(node: usize) -> String {
    format!("redis-{node}")
}

fn index(node: usize) -> Result<usize> {
    if (1..=NODES).contains(&node) { Ok(node - 1) } else { Err(Error::NoSuchServer(name(node))) }
}

fn find_program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("redis-server"))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Missing("redis-server".to_owned()))
}
