//! Starts the system, or says that it runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{NODES, POSTGRES_PORT, Part, REPLICAS, apps, lock, redis_port};
use crate::error::{Doing, Error, Result};
use crate::postgres::{self, Postgres};
use crate::process::Lifetime;
use crate::redis::{self, RedisCluster};
use crate::{place::Place, ports};

/// What [`up`] is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The load balancer's program.
    pub lb: PathBuf,
    /// The backends' program, which is the frontends' too.
    pub backend: PathBuf,
    /// The load balancer's configuration.
    pub config: PathBuf,
    /// Start the PostgreSQL and Redis servers, and nothing else.
    pub servers_only: bool,
    /// Throw away what an earlier run left.
    pub fresh: bool,
}

/// What [`up`] found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something was started, and all of it runs now.
    Started,
    /// All of it ran.
    RanAlready,
}

/// Starts the system with its state in `directory` and leaves it running. Data that is there
/// is kept. When something fails, all that was started is stopped again. Where some of it
/// runs, what is missing is started: a replica that was killed, say.
pub fn up(directory: &Path, options: &Options) -> Result<Outcome> {
    let wanted: Vec<Part> =
        Part::all().into_iter().filter(|part| part.is_server() || !options.servers_only).collect();
    let _lock = lock(directory)?;
    if options.fresh && Part::all().iter().any(|part| part.running(directory).is_some()) {
        return Err(Error::Running);
    }
    let down: Vec<Part> =
        wanted.into_iter().filter(|part| part.running(directory).is_none()).collect();
    if down.is_empty() {
        return Ok(Outcome::RanAlready);
    }
    check_programs(options)?;
    // All before anything is started: whatever is in the way shows at once.
    let ports: Vec<u16> = down.iter().flat_map(|part| part.ports()).collect();
    ports::check_free(&ports)?;

    if options.fresh {
        wipe(directory)?;
    }
    let place = Place::at(directory, &[Postgres::user()?, RedisCluster::user()?])?;
    let servers_down = down.iter().any(|part| part.is_server());
    let servers = if servers_down { Some(start_servers(directory)?) } else { None };
    let apps = if options.servers_only { Vec::new() } else { apps::start(&place, options)? };
    for mut process in apps {
        process.leave();
    }
    if let Some((postgres, redis)) = servers {
        postgres.leave();
        redis.leave();
    }
    Ok(Outcome::Started)
}

fn start_servers(directory: &Path) -> Result<(Postgres, RedisCluster)> {
    let replicas = (1..=REPLICAS).map(|number| POSTGRES_PORT + number as u16);
    let settings = postgres::Settings {
        replicas: REPLICAS,
        ports: Some([POSTGRES_PORT].into_iter().chain(replicas).collect()),
        is_durable: true,
        lifetime: Lifetime::ItsOwn,
    };
    let postgres = Postgres::start(directory, settings)?;
    let settings = redis::Settings {
        ports: Some(std::array::from_fn::<u16, NODES, _>(|index| redis_port(index + 1))),
        node_timeout: None,
        lifetime: Lifetime::ItsOwn,
    };
    Ok((postgres, RedisCluster::start(directory, settings)?))
}

fn check_programs(options: &Options) -> Result<()> {
    if options.servers_only {
        return Ok(());
    }
    for program in [&options.lb, &options.backend, &options.config] {
        fs::metadata(program).doing(|| format!("cannot use {}", program.display()))?;
    }
    Ok(())
}

/// Removes what the fleet keeps there, and nothing else that may be there.
fn wipe(directory: &Path) -> Result<()> {
    let files = [
        "postgres-superuser-password",
        "postgres-password",
        "postgres-replication-password",
        "redis-password",
        "redis-cluster-is-made",
        "admin-password",
        "signing.key",
    ];
    let parts =
        Part::all().into_iter().filter(|part| part.is_server()).map(|part| part.to_string());
    let directories = parts.chain(["logs".to_owned(), "pids".to_owned()]);
    let gone = |path: &Path, result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    };
    for name in directories {
        let path = directory.join(name);
        gone(&path, fs::remove_dir_all(&path))?;
    }
    for name in files {
        let path = directory.join(name);
        gone(&path, fs::remove_file(&path))?;
    }
    Ok(())
}
