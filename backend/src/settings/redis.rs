//! Where the Redis Cluster is.

use std::path::PathBuf;

use clap::Args;

use super::SETTINGS;
use super::parse::{Problems, parse_password, wrap};
use crate::cache::RedisSettings;
use crate::host::Host;
use crate::secret::Secret;

/// What the operator wrote about Redis.
#[derive(Debug, Args)]
pub struct RedisArguments {
    /// Some nodes of the Redis Cluster that all instances share, as HOST:PORT,HOST:PORT; the
    /// others are found through them. Without it there is no cache.
    #[arg(long, env = "REDIS_NODES", value_name = "NODES", help_heading = SETTINGS)]
    redis_nodes: Option<String>,

    /// The password of all nodes.
    #[arg(
        long,
        env = "REDIS_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        value_parser = wrap,
        help_heading = SETTINGS
    )]
    redis_password: Option<Secret<String>>,

    /// The file with the password of all nodes, instead of the password itself.
    #[arg(long, env = "REDIS_PASSWORD_FILE", value_name = "FILE", help_heading = SETTINGS)]
    redis_password_file: Option<PathBuf>,
}

impl RedisArguments {
    pub(super) fn parse(self, problems: &mut Problems) -> Option<RedisSettings> {
        let Self { redis_nodes, redis_password, redis_password_file } = self;
        // An empty variable is the way to unset one in files of containers.
        let nodes = redis_nodes.filter(|nodes| !nodes.trim().is_empty())?;
        let nodes = problems.collect("REDIS_NODES", Host::parse_list(&nodes, None));
        let password = problems
            .collect("REDIS_PASSWORD_FILE", parse_password(redis_password, redis_password_file));
        Some(RedisSettings { nodes: nodes?, password: password? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        nodes: &str,
        password: Option<&str>,
        file: Option<PathBuf>,
    ) -> (Problems, Option<RedisSettings>) {
        let arguments = RedisArguments {
            redis_nodes: Some(nodes.to_owned()),
            redis_password: password.map(|text| Secret::new(text.to_owned())),
            redis_password_file: file,
        };
        let mut problems = Problems::default();
        let settings = arguments.parse(&mut problems);
        (problems, settings)
    }

    #[test]
    fn nodes_are_hosts_and_ports() {
        let (_, settings) = parse("redis-1:7001, 10.0.0.2:7002,[::1]:7003", Some("hunter22"), None);
        let settings = settings.unwrap();
        let nodes: Vec<_> =
            settings.nodes.iter().map(|node| (node.name.as_str(), node.port)).collect();
        assert_eq!(nodes, [("redis-1", 7001), ("10.0.0.2", 7002), ("::1", 7003)]);
        assert!(!format!("{settings:?}").contains("hunter22"));
    }

    #[test]
    fn what_is_no_node_is_a_problem() {
        let (problems, settings) = parse("redis", None, None);
        assert!(settings.is_none());
        assert_eq!(problems.0[0].0, "REDIS_NODES");
    }

    #[test]
    fn without_nodes_there_is_no_cache() {
        let (problems, settings) = parse(" ", None, None);
        assert!(settings.is_none() && problems.0.is_empty());
    }
}
