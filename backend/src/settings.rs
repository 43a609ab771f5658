//! Settings: what the operator wrote ([`Arguments`]) and what the program
//! uses ([`Settings`]). All that is wrong is reported at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::HeaderValue;
use tracing_subscriber::EnvFilter;

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

    /// The SQLite file that all instances on this machine share; made if missing.
    #[arg(
        long,
        env = "BACKEND_DATABASE",
        value_name = "FILE",
        default_value = "backend.db",
        help_heading = SETTINGS
    )]
    pub database: PathBuf,

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
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info",
        help_heading = SETTINGS
    )]
    pub log: String,
}

/// What a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The API.
    Api,
    /// The web page that uses the API. It needs no database and no signing key.
    Frontend,
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
    /// The SQLite file.
    pub database: PathBuf,
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
        if role == Role::Api {
            problems.collect("BACKEND_DATABASE", parent_exists(&database));
            problems.collect("BACKEND_SIGNING_KEY_FILE", parent_exists(&signing_key_file));
        }
        let token_ttl = problems.collect("BACKEND_TOKEN_TTL", parse_time_to_live(&token_ttl));
        let shutdown_delay =
            problems.collect("BACKEND_SHUTDOWN_DELAY", parse_duration(&shutdown_delay));
        let drain_timeout =
            problems.collect("BACKEND_DRAIN_TIMEOUT", parse_duration(&drain_timeout));
        let delay = problems.collect("BACKEND_DELAY", parse_duration(&delay));
        let log = problems.collect(
            "RUST_LOG",
            EnvFilter::try_new(&log).map_err(|error| format!("{log:?}: {error}")),
        );

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

/// The settings that are wrong: the name of each, and why.
#[derive(Debug)]
pub struct InvalidSettings(pub Vec<(&'static str, String)>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (setting, problem)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{setting}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSettings {}

#[derive(Default)]
struct Problems(Vec<(&'static str, String)>);

impl Problems {
    fn collect<T>(&mut self, setting: &'static str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|problem| self.0.push((setting, problem))).ok()
    }
}

fn parse_instance(name: &str) -> Result<HeaderValue, String> {
    // Longer names have no use, and some clients bound what a field may hold.
    const MAX_LENGTH: usize = 255;

    match HeaderValue::from_str(name) {
        Ok(value)
            if (1..=MAX_LENGTH).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(value)
        }
        _ => Err(format!("{name:?}: must be 1 to {MAX_LENGTH} visible ASCII characters")),
    }
}

fn parent_exists(file: &Path) -> Result<(), String> {
    let Some(parent) = file.parent() else {
        return Err(format!("{}: is not a file name", file.display()));
    };
    // The parent of a bare file name is empty and means the current directory.
    if parent.as_os_str().is_empty() || parent.is_dir() {
        Ok(())
    } else {
        Err(format!("{}: {} is not a directory", file.display(), parent.display()))
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))
}

fn parse_time_to_live(text: &str) -> Result<Duration, String> {
    /// Keeps the sum with the current time far from any overflow.
    const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    let duration = parse_duration(text)?;
    if (Duration::from_secs(1)..=MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("{text:?}: must be from 1s to 3650d"))
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
    fn a_frontend_does_not_ask_for_files_it_has_no_use_for() {
        let settings = Settings::try_from(arguments(&[
            "--role=frontend",
            "--database=/nonexistent/backend.db",
            "--signing-key-file=/nonexistent/backend.key",
        ]))
        .unwrap();
        assert_eq!(settings.role, Role::Frontend);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
