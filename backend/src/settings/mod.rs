//! Settings: what the operator wrote ([`Arguments`]) and what the program
//! uses ([`Settings`]). All that is wrong is reported at once.

mod parse;
mod postgres;
mod redis;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::HeaderValue;
use tracing_subscriber::EnvFilter;

use self::parse::{
    Problems, parent_exists, parse_admin, parse_duration, parse_filter, parse_instance,
    parse_time_to_live,
};
use self::postgres::PostgresArguments;
use crate::cache::RedisSettings;
use crate::domain::{EmailAddress, Password};
use crate::store::PostgresSettings;

pub use self::parse::InvalidSettings;
pub use self::redis::RedisArguments;

/// The API service that lb balances.
///
/// Prints "listening on ADDR" when it is ready for connections, and logs to
/// the standard error as JSON lines. SIGTERM, SIGINT or SIGQUIT stop it
/// gracefully; a second one cuts the drain short.
#[derive(Debug, Parser)]
#[command(
    name = "backend",
    version,
    after_help = "Durations are written as 250ms, 30s, 5m, 1h 30m, 7d.\n\
        `backend probe URL` asks a URL, for health checks of containers: 0 if the answer is a 2xx, else 1.\n\
        Exit codes: 0 done, 1 the settings are wrong, 2 the arguments are wrong, \
        70 something broke."
)]
pub struct Arguments {
    /// Address to accept connections on; port 0 lets the system choose one.
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,

    /// What to serve.
    #[arg(long, value_enum, default_value_t = Role::Api)]
    pub role: Role,

    /// What every response calls this instance, in X-Served-By [default: HOSTNAME-PORT].
    #[arg(long, env = "BACKEND_INSTANCE", value_name = "NAME", help_heading = SETTINGS)]
    pub instance: Option<String>,

    /// The SQLite file that all instances on this machine share; made if missing. Not used with
    /// PostgreSQL.
    #[arg(
        long,
        env = "BACKEND_DATABASE",
        value_name = "FILE",
        default_value = "backend.db",
        help_heading = SETTINGS
    )]
    pub database: PathBuf,

    /// Where PostgreSQL is, if it is to be used.
    #[command(flatten)]
    pub postgres: PostgresArguments,

    /// The address of an administrator, who is made at the start if nobody has the address.
    #[arg(long, env = "BACKEND_ADMIN_EMAIL", value_name = "ADDRESS", help_heading = SETTINGS)]
    pub admin_email: Option<String>,

    /// The file with the password of the administrator to make.
    #[arg(
        long,
        env = "BACKEND_ADMIN_PASSWORD_FILE",
        value_name = "FILE",
        help_heading = SETTINGS
    )]
    pub admin_password_file: Option<PathBuf>,

    /// The Redis Cluster.
    #[command(flatten)]
    pub redis: RedisArguments,

    /// The file whose bytes, at least 32, sign the access tokens; made if missing, with a random
    /// key. All instances need the same.
    #[arg(
        long,
        env = "BACKEND_SIGNING_KEY_FILE",
        value_name = "FILE",
        default_value = "backend.key",
        help_heading = SETTINGS
    )]
    pub signing_key_file: PathBuf,

    /// How long an access token is good for.
    #[arg(
        long,
        env = "BACKEND_TOKEN_TTL",
        value_name = "DURATION",
        default_value = "1h",
        help_heading = SETTINGS
    )]
    pub token_ttl: String,

    /// How long a stopping process reports that it is not ready before it stops accepting.
    #[arg(
        long,
        env = "BACKEND_SHUTDOWN_DELAY",
        value_name = "DURATION",
        default_value = "0s",
        help_heading = SETTINGS
    )]
    pub shutdown_delay: String,

    /// How long a stopping process then waits for requests and WebSockets to end.
    #[arg(
        long,
        env = "BACKEND_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        help_heading = SETTINGS
    )]
    pub drain_timeout: String,

    /// Hold every response but those of probes and metrics back for so long, to test balancing.
    #[arg(
        long,
        env = "BACKEND_DELAY",
        value_name = "DURATION",
        default_value = "0ms",
        help_heading = SETTINGS
    )]
    pub delay: String,

    /// What to log: error, warn, info, debug, trace, or by module, as in "info,backend=debug".
    /// The library for Redis says nothing unless it is named, as in "info,redis=warn".
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = DEFAULT_LOG,
        help_heading = SETTINGS
    )]
    pub log: String,
}

/// Ask a URL, such as http://127.0.0.1:8000/health: exit 0 if the answer is a 2xx, else 1
///
/// It is parsed by itself: serving needs arguments that asking has no use for.
#[derive(Debug, Parser)]
#[command(name = "backend probe")]
pub struct ProbeArguments {
    /// The URL, over plain HTTP.
    pub url: String,
}

/// What a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The API.
    Api,
    /// The web page that uses the API. It needs no database and no signing key.
    Frontend,
}

/// Where users are kept.
#[derive(Debug)]
pub enum Database {
    /// In an SQLite file.
    File(PathBuf),
    /// In PostgreSQL.
    Postgres(PostgresSettings),
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Postgres(settings) => {
                write!(formatter, "postgres://{}/{}", settings.primary, settings.database)
            }
        }
    }
}

/// An administrator to make.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The address.
    pub email: EmailAddress,
    /// The password.
    pub password: Password,
}

/// [`Arguments`], parsed and checked.
#[derive(Debug)]
pub struct Settings {
    /// Address to accept connections on.
    pub listen: SocketAddr,
    /// What to serve.
    pub role: Role,
    /// Name of the instance, if the operator gave one.
    pub instance: Option<HeaderValue>,
    /// Where users are kept.
    pub database: Database,
    /// The Redis Cluster, if there is one.
    pub redis: Option<RedisSettings>,
    /// An administrator to make if there is none with the address.
    pub admin: Option<Admin>,
    /// The file with the signing key.
    pub signing_key_file: PathBuf,
    /// How long an access token is good for; at least a second.
    pub token_ttl: Duration,
    /// From "not ready" to "not accepting".
    pub shutdown_delay: Duration,
    /// From "not accepting" to the end, at most.
    pub drain_timeout: Duration,
    /// Holds back every response but those of probes and metrics.
    pub delay: Duration,
    /// What to log.
    pub log: EnvFilter,
}

/// What the drivers of the databases say about a server that is down comes with every attempt to
/// connect, many times a second; what matters of it is logged here.
const DEFAULT_LOG: &str = "info,redis=error,sqlx=warn";

/// Heading of the settings in `--help`.
const SETTINGS: &str = "Settings (from the environment, or these options)";

impl TryFrom<Arguments> for Settings {
    type Error = InvalidSettings;

    fn try_from(arguments: Arguments) -> Result<Self, InvalidSettings> {
        // Destructured, so that a new argument cannot be forgotten here.
        let Arguments {
            listen,
            role,
            instance,
            database,
            postgres,
            admin_email,
            admin_password_file,
            redis,
            signing_key_file,
            token_ttl,
            shutdown_delay,
            drain_timeout,
            delay,
            log,
        } = arguments;

        let mut problems = Problems::default();
        let instance =
            instance.and_then(|name| problems.collect("BACKEND_INSTANCE", parse_instance(&name)));
        let mut database = Database::File(database);
        let (mut redis_settings, mut admin) = (None, None);
        // A frontend has no use for these, and does not read their files.
        if role == Role::Api {
            if let Some(settings) = postgres.into_settings(&mut problems) {
                database = Database::Postgres(settings);
            }
            redis_settings = redis.parse(&mut problems);
            let parsed = parse_admin(admin_email, admin_password_file);
            admin = problems.collect("BACKEND_ADMIN_EMAIL", parsed).flatten();
            if let Database::File(file) = &database {
                problems.collect("BACKEND_DATABASE", parent_exists(file));
            }
            problems.collect("BACKEND_SIGNING_KEY_FILE", parent_exists(&signing_key_file));
        }
        let token_ttl = problems.collect("BACKEND_TOKEN_TTL", parse_time_to_live(&token_ttl));
        let shutdown_delay =
            problems.collect("BACKEND_SHUTDOWN_DELAY", parse_duration(&shutdown_delay));
        let drain_timeout =
            problems.collect("BACKEND_DRAIN_TIMEOUT", parse_duration(&drain_timeout));
        let delay = problems.collect("BACKEND_DELAY", parse_duration(&delay));
        let log = problems.collect("RUST_LOG", parse_filter(&log));

        match (token_ttl, shutdown_delay, drain_timeout, delay, log) {
            (
                Some(token_ttl),
                Some(shutdown_delay),
                Some(drain_timeout),
                Some(delay),
                Some(log),
            ) if problems.0.is_empty() => Ok(Self {
                listen,
                role,
                instance,
                database,
                admin,
                redis: redis_settings,
                signing_key_file,
                token_ttl,
                shutdown_delay,
                drain_timeout,
                delay,
                log,
            }),
            _ => Err(InvalidSettings(problems.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(options: &[&str]) -> Arguments {
        let required = ["backend", "--listen", "127.0.0.1:0"];
        Arguments::try_parse_from(required.iter().chain(options)).unwrap()
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = Settings::try_from(arguments(&[])).unwrap();
        assert_eq!(settings.token_ttl, Duration::from_secs(3600));
        assert_eq!(settings.drain_timeout, Duration::from_secs(30));
        assert_eq!(settings.delay, Duration::ZERO);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let error = Settings::try_from(arguments(&[
            "--instance=two words",
            "--database=/nonexistent/backend.db",
            "--token-ttl=0s",
            "--delay=soon",
            "--log==",
        ]))
        .unwrap_err();
        let names: Vec<_> = error.0.iter().map(|(setting, _)| *setting).collect();
        assert_eq!(
            names,
            [
                "BACKEND_INSTANCE",
                "BACKEND_DATABASE",
                "BACKEND_TOKEN_TTL",
                "BACKEND_DELAY",
                "RUST_LOG"
            ]
        );
    }

    #[test]
    fn replicas_without_a_primary_are_a_problem() {
        let error = Settings::try_from(arguments(&["--postgres-read-replicas=db-2"])).unwrap_err();
        assert_eq!(error.0[0].0, "POSTGRES_SERVER");
        // As in files of containers that leave both out.
        Settings::try_from(arguments(&["--postgres-server=", "--postgres-read-replicas="]))
            .unwrap();
    }

    #[test]
    fn a_frontend_does_not_ask_for_files_it_has_no_use_for() {
        let settings = Settings::try_from(arguments(&[
            "--role=frontend",
            "--database=/nonexistent/backend.db",
            "--signing-key-file=/nonexistent/backend.key",
            "--redis-nodes=redis:1",
            "--redis-password-file=/nonexistent/password",
        ]))
        .unwrap();
        assert_eq!(settings.role, Role::Frontend);
    }

    #[test]
    fn the_library_for_redis_is_silent_unless_it_is_named() {
        let filter = |text: &str| {
            let settings = Settings::try_from(arguments(&[&format!("--log={text}")])).unwrap();
            settings.log.to_string()
        };
        assert!(filter("trace").contains("redis=off"));
        assert!(filter("info,backend::cache::redis=debug").contains(",redis=off"));
        assert!(!filter("info,redis=warn").contains("redis=off"));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
