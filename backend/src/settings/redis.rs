//! Where the Redis Cluster is.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Problems, SETTINGS};
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
        value_parser = secret,
        help_heading = SETTINGS
    )]
    redis_password: Option<Secret<String>>,

    /// The file with the password of all nodes, instead of the password itself.
    #[arg(long, env = "REDIS_PASSWORD_FILE", value_name = "FILE", help_heading = SETTINGS)]
    redis_password_file: Option<PathBuf>,
}

/// Where the Redis Cluster is.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Some of its nodes, at least one.
    pub nodes: Vec<RedisNode>,
    /// The password of all nodes.
    pub password: Option<Secret<String>>,
}

/// The address of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisNode {
    /// A name or an IP address.
    pub host: String,
    /// Where it listens.
    pub port: u16,
}

impl RedisArguments {
    pub(super) fn parse(self, problems: &mut Problems) -> Option<RedisSettings> {
        let Self { redis_nodes, redis_password, redis_password_file } = self;
        // An empty variable is the way to unset one in files of containers.
        let nodes = redis_nodes.filter(|nodes| !nodes.trim().is_empty())?;
        let nodes = problems.collect("REDIS_NODES", parse_nodes(&nodes));
        let password = match (redis_password, redis_password_file) {
            (None, None) => Ok(None),
            (Some(password), None) => Ok(Some(password)),
            (None, Some(file)) => read_password(&file).map(Some),
            (Some(_), Some(_)) => Err("is set together with REDIS_PASSWORD; one is enough".into()),
        };
        let password = problems.collect("REDIS_PASSWORD_FILE", password);
        Some(RedisSettings { nodes: nodes?, password: password? })
    }
}

fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

fn parse_nodes(text: &str) -> Result<Vec<RedisNode>, String> {
    text.split(',').map(str::trim).filter(|node| !node.is_empty()).map(parse_node).collect()
}

fn parse_node(text: &str) -> Result<RedisNode, String> {
    let malformed = || format!("{text:?}: must be HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['@', '/', ' ', '[', ']']);
    // Colons in a host are those of an IPv6 address, which stands in brackets.
    if !is_host(bare.unwrap_or(host)) || (bare.is_none() && host.contains(':')) {
        return Err(malformed());
    }
    match port.parse() {
        Ok(port @ 1..) => Ok(RedisNode { host: bare.unwrap_or(host).to_owned(), port }),
        _ => Err(malformed()),
    }
}

/// The first line of a file. It is small: a password, not a device that never ends.
fn read_password(file: &Path) -> Result<Secret<String>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err(format!("{}: holds no password", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        nodes: &str,
        password: Option<&str>,
        file: Option<&Path>,
    ) -> (Problems, Option<RedisSettings>) {
        let arguments = RedisArguments {
            redis_nodes: Some(nodes.to_owned()),
            redis_password: password.map(|text| Secret::new(text.to_owned())),
            redis_password_file: file.map(Path::to_owned),
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
            settings.nodes.iter().map(|node| (node.host.as_str(), node.port)).collect();
        assert_eq!(nodes, [("redis-1", 7001), ("10.0.0.2", 7002), ("::1", 7003)]);
        assert!(!format!("{settings:?}").contains("hunter22"));
    }

    #[test]
    fn what_is_no_node_is_a_problem() {
        for text in
            ["redis", ":7001", "redis:", "redis:0", "redis:70000", "::1:7001", "a@b:1", "x/y:1"]
        {
            let (problems, settings) = parse(text, None, None);
            assert!(settings.is_none(), "{text}");
            assert_eq!(problems.0[0].0, "REDIS_NODES", "{text}");
        }
    }

    #[test]
    fn without_nodes_there_is_no_cache() {
        let (problems, settings) = parse(" ", None, None);
        assert!(settings.is_none() && problems.0.is_empty());
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "hunter22\n").unwrap();
        let (_, settings) = parse("redis:1", None, Some(&file));
        assert_eq!(settings.unwrap().password.unwrap().expose(), "hunter22");

        let (problems, _) = parse("redis:1", Some("other"), Some(&file));
        assert_eq!(problems.0[0].0, "REDIS_PASSWORD_FILE");
        fs::write(&file, "").unwrap();
        let (problems, _) = parse("redis:1", None, Some(&file));
        assert_eq!(problems.0[0].0, "REDIS_PASSWORD_FILE");
    }
}
