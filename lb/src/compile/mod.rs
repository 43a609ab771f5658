//! From what the operator wrote to a [`Snapshot`]: cross-references, files,
//! inheritance, and every problem at once with its position.
//!
//! Reads files, never the network. Nothing here runs while requests are served.

mod connections;
mod context;
mod dns;
mod endpoints;
mod failover;
mod headers;
mod health_check;
mod inherit;
mod kubernetes;
mod listeners;
mod matches;
mod process;
mod reach;
mod redirect;
mod routes;
mod scope;
mod sections;
mod server_tls;
mod upstreams;

use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config, Position, Problem, Problems, Severity};
use crate::policy::{KeySeed, Table, TableBuilder};
use crate::snapshot::{Registry, Snapshot};

use context::Context;

/// What compiling a file came to.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot, when there was no error.
    pub snapshot: Option<Snapshot>,
    /// Every problem in the order of the file; only warnings when there is a
    /// snapshot.
    pub problems: Vec<Problem>,
}

impl Compiled {
    /// Whether anything but warnings was found.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Compiles a configuration file. Paths in it are relative to its directory,
/// variables come from the environment.
pub fn compile_file(path: &Path, registry: &Registry) -> Compiled {
    let text = std::fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| {
            format!("the file is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to())
        })
    });
    match text {
        Ok(text) => {
            let directory = path.parent().unwrap_or(Path::new("."));
            compile_text(&text, directory, &|name| std::env::var(name).ok(), registry)
        }
        Err(reason) => {
            let mut problems = Problems::default();
            problems.error_at(
                Position::START,
                config::Path::default(),
                format!("cannot be read: {reason}"),
            );
            Compiled { snapshot: None, problems: problems.into_sorted() }
        }
    }
}

/// Compiles the text of a configuration. `directory` is what file paths are
/// relative to; `variables` looks up `${NAME}`.
pub fn compile_text(
    text: &str,
    directory: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
    registry: &Registry,
) -> Compiled {
    let mut problems = Problems::default();
    let snapshot = config::load(text, variables, &mut problems).and_then(|loaded| {
        let config = loaded.config.as_ref()?;
        let mut context = Context::new(&loaded, directory, &mut problems);
        Some(compile(config, &mut context, registry))
    });
    let snapshot = snapshot.filter(|_| !problems.has_errors());
    Compiled { snapshot, problems: problems.into_sorted() }
}

fn compile(config: &Config, context: &mut Context<'_>, registry: &Registry) -> Snapshot {
    // Destructured so that a new section cannot be forgotten here.
    let Config {
        version,
        workers,
        max_connections,
        status,
        admin,
        reload,
        access_log,
        shutdown,
        dns,
        kubernetes,
        client_ip,
        defaults,
        listeners,
        upstreams,
        rate_limits,
        virtual_hosts,
    } = config;

    process::check_version(*version, context);
    if let Some(defaults) = defaults {
        inherit::check_defaults(defaults, context);
    }
    let written =
        process::Written { workers, max_connections, status, admin, reload, access_log, shutdown };
    let process = process::process(&written, context);
    let head_limits = process::head_limits(defaults.as_ref(), context);
    let listeners = listeners::listeners(listeners, &process, registry, context);
    let finders = upstreams::Finders {
        dns: Arc::new(dns::settings(dns.as_ref(), context)),
        kubernetes: Arc::new(kubernetes::settings(kubernetes.as_ref(), context)),
    };
    let upstreams = upstreams::upstreams(upstreams, defaults.as_ref(), &finders, context, registry);
    let limits = upstreams::limits(rate_limits, registry, context);
    let (table, concurrency) =
        routes::table(virtual_hosts, config, &listeners, &upstreams, &limits, registry, context);

    Snapshot {
        table,
        upstreams,
        limits,
        concurrency,
        listeners,
        head_limits,
        trusted_proxies: client_ip
            .as_ref()
            .map_or_else(Vec::new, |client| client.trusted_proxies.clone()),
        process,
        sections: sections::sections(config),
    }
}

fn table_builder(listeners: usize, seed: KeySeed) -> TableBuilder {
    TableBuilder::new(listeners, seed)
}

/// The schema of the configuration, as `lb schema` prints it.
pub fn schema() -> serde_json::Value {
    config::schema()
}

/// A table without hosts, for tests and benchmarks of the decision.
pub fn empty_table(listeners: usize) -> Table {
    table_builder(listeners, KeySeed(fastrand::u64(..), fastrand::u64(..))).build()
}
