//! Data directories: made, copied, and told what is their own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::programs::Programs;
use super::{DATABASE, Passwords, REPLICATION_USER, SUPERUSER, Server, USER};
use crate::error::{Doing, Result};
use crate::place;
use crate::secret::write_private;
use crate::user::User;

/// What all servers have in common.
const COMMON: &str = include_str!("../../../../config/postgresql/postgresql.conf");

/// Everybody has to give a password, and comes from this machine.
const HBA: &str = "\
# TYPE  DATABASE     USER  ADDRESS       METHOD
host    all          all   127.0.0.1/32  scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
";

/// For tests, whose data nobody misses when the machine goes down: nothing waits for the
/// disk. What was committed is with the system even so, and survives the server's crash.
/// Nothing of theirs is in the system's shared memory when they are killed.
const DISPOSABLE: &str = "\
fsync = off
full_page_writes = off
dynamic_shared_memory_type = mmap
";

/// Makes data directories in one place.
pub(super) struct Setup<'a> {
    pub(super) programs: &'a Programs,
    pub(super) user: Option<&'a User>,
    pub(super) directory: &'a Path,
    pub(super) passwords: &'a Passwords,
    pub(super) is_durable: bool,
}

impl Setup<'_> {
    pub(super) fn data(&self, server: Server) -> PathBuf {
        self.directory.join(server.to_string())
    }

    pub(super) fn is_made(&self, server: Server) -> bool {
        self.data(server).join("PG_VERSION").exists()
    }

    /// initdb.
    pub(super) fn make_primary(&self) -> Result<()> {
        let new = self.new_directory(Server::Primary)?;
        let password_file = new.with_extension("password");
        write_private(&password_file, &self.passwords.superuser, self.user)?;
        let mut arguments: Vec<&OsStr> = [
            "--no-instructions",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username",
            SUPERUSER,
            "--pwfile",
        ]
        .into_iter()
        .map(OsStr::new)
        .chain([password_file.as_os_str(), OsStr::new("--pgdata"), new.as_os_str()])
        .collect();
        if !self.is_durable {
            arguments.push(OsStr::new("--no-sync"));
        }
        let made = self.programs.run("initdb", &arguments, None, "", self.user, self.directory);
        let _ = fs::remove_file(&password_file);
        made?;
        self.finish(&new, Server::Primary)
    }

    /// Copies a running primary.
    pub(super) fn make_replica(&self, server: Server, primary: u16) -> Result<()> {
        let new = self.new_directory(server)?;
        let (slot, port) = (slot(server), primary.to_string());
        let mut arguments: Vec<&OsStr> = [
            "--host=127.0.0.1",
            "--no-password",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--username",
            REPLICATION_USER,
            "--port",
            &port,
            "--slot",
            &slot,
            "--pgdata",
        ]
        .into_iter()
        .map(OsStr::new)
        .chain([new.as_os_str()])
        .collect();
        if !self.is_durable {
            arguments.push(OsStr::new("--no-sync"));
        }
        let password = Some(self.passwords.replication.as_str());
        self.programs.run("pg_basebackup", &arguments, password, "", self.user, self.directory)?;
        write_private(&new.join("standby.signal"), "", self.user)?;
        self.finish(&new, server)
    }

    /// Writes what only this server has: at every start, since ports and passwords may be
    /// others than at the last one.
    pub(super) fn configure(&self, server: Server, port: u16, primary: u16) -> Result<()> {
        let data = self.data(server);
        let mut own = format!(
            "# Written by fleet at every start.\n\
             include 'common.conf'\n\
             listen_addresses = '127.0.0.1'\n\
             port = {port}\n\
             # Paths of sockets are short by law, those of directories are not.\n\
             unix_socket_directories = ''\n\
             cluster_name = '{server}'\n"
        );
        if server != Server::Primary {
            own += &format!(
                "primary_slot_name = '{}'\n\
                 primary_conninfo = 'host=127.0.0.1 port={primary} user={REPLICATION_USER} \
                 password={} application_name={} connect_timeout=5'\n",
                slot(server),
                self.passwords.replication,
                slot(server),
            );
        }
        if !self.is_durable {
            own += DISPOSABLE;
        }
        write_private(&data.join("common.conf"), COMMON, self.user)?;
        write_private(&data.join("server.conf"), &own, self.user)?;
        write_private(&data.join("pg_hba.conf"), HBA, self.user)?;
        write_private(&data.join("postgresql.conf"), "include 'server.conf'\n", self.user)
    }

    /// SQL for roles and the database, right whether or not they are there.
    pub(super) fn roles(&self) -> String {
        let (application, replication) = (&self.passwords.application, &self.passwords.replication);
        format!(
            "-- Passwords are not for the log.
             SET log_min_error_statement = panic;
             SET log_min_duration_statement = -1;
             SELECT 'CREATE ROLE {USER}' WHERE NOT EXISTS \
                 (SELECT FROM pg_roles WHERE rolname = '{USER}') \\gexec
             SELECT 'CREATE ROLE {REPLICATION_USER}' WHERE NOT EXISTS \
                 (SELECT FROM pg_roles WHERE rolname = '{REPLICATION_USER}') \\gexec
             ALTER ROLE {USER} LOGIN PASSWORD '{application}';
             ALTER ROLE {REPLICATION_USER} LOGIN REPLICATION PASSWORD '{replication}';
             -- The backends report the lag of replicas, which not everybody may see.
             GRANT pg_monitor TO {USER};
             SELECT 'CREATE DATABASE {DATABASE} OWNER {USER}' WHERE NOT EXISTS \
                 (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec\n"
        )
    }

    /// Beside the directory, so that one that was made half is never taken for whole.
    fn new_directory(&self, server: Server) -> Result<PathBuf> {
        let new = self.data(server).with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new).doing(|| format!("cannot remove {}", new.display()))?;
        }
        place::make_private(&new, self.user)?;
        Ok(new)
    }

    fn finish(&self, new: &Path, server: Server) -> Result<()> {
        let data = self.data(server);
        if data.exists() {
            fs::remove_dir_all(&data).doing(|| format!("cannot remove {}", data.display()))?;
        }
        fs::rename(new, &data).doing(|| format!("cannot make {}", data.display()))
    }
}

/// The replication slot of a replica, and what it calls itself: `replica_1`.
pub(super) fn slot(server: Server) -> String {
    server.to_string().replace('-', "_")
}
