//! The settings of PostgreSQL.

use std::path::PathBuf;

use clap::Args;

use super::SETTINGS;
use super::parse::{Problems, parse_duration, parse_password};
use crate::secret::Secret;
use crate::store::{Host, PostgresSettings};

/// Where PostgreSQL is, and how to use it.
#[derive(Debug, Args)]
pub struct PostgresArguments {
    /// Use PostgreSQL instead of SQLite: the host of the primary, or HOST:PORT.
    #[arg(long, env = "POSTGRES_SERVER", value_name = "HOST", help_heading = SETTINGS)]
    pub postgres_server: Option<String>,

    /// The port of the primary, and of the replicas that have none of their own.
    #[arg(
        long,
        env = "POSTGRES_PORT",
        value_name = "PORT",
        default_value_t = 5432,
        help_heading = SETTINGS
    )]
    pub postgres_port: u16,

    /// Who we are there.
    #[arg(
        long,
        env = "POSTGRES_USER",
        value_name = "NAME",
        default_value = "fastnext",
        help_heading = SETTINGS
    )]
    pub postgres_user: String,

    /// The password; from the environment only.
    #[arg(
        long,
        env = "POSTGRES_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        value_parser = wrap,
        help_heading = SETTINGS
    )]
    pub postgres_password: Option<Secret<String>>,

    /// The file with the password.
    #[arg(long, env = "POSTGRES_PASSWORD_FILE", value_name = "FILE", help_heading = SETTINGS)]
    pub postgres_password_file: Option<PathBuf>,

    /// The database.
    #[arg(
        long,
        env = "POSTGRES_DB",
        value_name = "NAME",
        default_value = "fastnext",
        help_heading = SETTINGS
    )]
    pub postgres_db: String,

    /// The replicas, which take the reads: "host1:5432,host2:5432".
    #[arg(
        long,
        env = "POSTGRES_READ_REPLICAS",
        value_name = "HOSTS",
        default_value = "",
        hide_default_value = true,
        help_heading = SETTINGS
    )]
    pub postgres_read_replicas: String,

    /// A replica that is further behind the primary takes no reads.
    #[arg(
        long,
        env = "MAX_REPLICA_LAG",
        value_name = "DURATION",
        default_value = "5s",
        help_heading = SETTINGS
    )]
    pub max_replica_lag: String,

    /// Connections to the primary at most. All instances together must leave some of the server's
    /// max_connections.
    #[arg(
        long,
        env = "POSTGRES_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = SETTINGS
    )]
    pub postgres_max_connections: u32,

    /// Connections to each replica at most.
    #[arg(
        long,
        env = "POSTGRES_REPLICA_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = SETTINGS
    )]
    pub postgres_replica_max_connections: u32,
}

impl PostgresArguments {
    /// The settings; `None` without a server, or if something is wrong, which
    /// `problems` has then.
    pub(super) fn into_settings(self, problems: &mut Problems) -> Option<PostgresSettings> {
        let default_port = self.postgres_port;
        // An empty variable is how an orchestrator says that there is none.
        let server = self.postgres_server.filter(|server| !server.trim().is_empty())?;
        let primary = problems.collect("POSTGRES_SERVER", parse_host(&server, default_port));
        let password = problems.collect(
            "POSTGRES_PASSWORD",
            parse_password(self.postgres_password, self.postgres_password_file),
        );
        let replicas = problems.collect(
            "POSTGRES_READ_REPLICAS",
            parse_hosts(&self.postgres_read_replicas, default_port),
        );
        let max_replica_lag =
            problems.collect("MAX_REPLICA_LAG", parse_duration(&self.max_replica_lag));
        Some(PostgresSettings {
            primary: primary?,
            replicas: replicas?,
            user: self.postgres_user,
            password: password?,
            database: self.postgres_db,
            max_replica_lag: max_replica_lag?,
            max_connections: self.postgres_max_connections,
            replica_max_connections: self.postgres_replica_max_connections,
        })
    }
}

fn wrap(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Hosts with commas between; blanks around them, and empty ones, do not count.
fn parse_hosts(text: &str, default_port: u16) -> Result<Vec<Host>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| parse_host(part, default_port)).collect()
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn parse_host(text: &str, default_port: u16) -> Result<Host, String> {
    let malformed = || format!("{text:?}: must be HOST or HOST:PORT");
    let text = text.trim();
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or_else(malformed)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or_else(malformed)?),
            };
            (name, port)
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(malformed)?,
        None => default_port,
    };
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte));
    if is_name { Ok(Host { name: name.to_owned(), port }) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    #[test]
    fn replicas_are_listed_as_in_the_guide() {
        assert_eq!(
            parse_hosts("host1:5432, host2:5433,", 1).unwrap(),
            [host("host1", 5432), host("host2", 5433)]
        );
        assert_eq!(parse_hosts("", 1).unwrap(), []);
        assert_eq!(parse_hosts("db.internal", 6000).unwrap(), [host("db.internal", 6000)]);
        assert_eq!(
            parse_hosts("[::1]:5433,[fe80::1]", 1).unwrap(),
            [host("::1", 5433), host("fe80::1", 1)]
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["a:0", "a:65536", "a:b", ":5432", "a b", "::1", "[::1", "[::1]5432", "a/b"] {
            assert!(parse_hosts(text, 1).is_err(), "{text}");
        }
    }
}
