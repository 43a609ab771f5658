//! The settings of PostgreSQL.

use std::path::PathBuf;

use clap::Args;

use super::SETTINGS;
use super::parse::{Problems, parse_duration, parse_password, wrap};
use crate::host::Host;
use crate::secret::Secret;
use crate::store::PostgresSettings;

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
        let server = self.postgres_server.filter(|server| !server.trim().is_empty());
        let Some(server) = server else {
            // Replicas of nothing: the name is misspelt, and users would go into a file.
            if !self.postgres_read_replicas.trim().is_empty() {
                let problem = "is missing, but there are POSTGRES_READ_REPLICAS".to_owned();
                problems.collect::<()>("POSTGRES_SERVER", Err(problem));
            }
            return None;
        };
        let primary = problems.collect("POSTGRES_SERVER", Host::parse(&server, Some(default_port)));
        let password = problems.collect(
            "POSTGRES_PASSWORD",
            parse_password(self.postgres_password, self.postgres_password_file),
        );
        // Without one, PostgreSQL may trust the address.
        let password = password.map(|it| it.unwrap_or_else(|| Secret::new(String::new())));
        let replicas = problems.collect(
            "POSTGRES_READ_REPLICAS",
            Host::parse_list(&self.postgres_read_replicas, Some(default_port)),
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
