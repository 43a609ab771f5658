//! Asking nodes: commands, and who is what in the cluster.

use std::io;
use std::time::Duration;

use super::client::{Connection, Reply};
use super::view::{Member, members};
use super::{NODES, RedisCluster};
use crate::error::{Error, Result};

/// How long one answer may take. A node that is paused gives none.
const PATIENCE: Duration = Duration::from_secs(2);

impl RedisCluster {
    /// Asks one node, and gives its answer whatever it is.
    pub fn ask(&self, node: usize, command: &[&str]) -> Result<Reply> {
        self.try_ask(node, command)
            .map_err(|error| Error::Redis { node, message: error.to_string() })
    }

    /// Asks the node that the key of a command belongs to, so that it has an answer.
    pub fn ask_for_key(&self, key: &str, command: &[&str]) -> Result<Reply> {
        let node = self.master_of(key)?;
        match self.ask(node, command)? {
            Reply::Error(message) => Err(Error::Redis { node, message }),
            reply => Ok(reply),
        }
    }

    /// The master of a key's slot, as seen by the first node that answers.
    pub fn master_of(&self, key: &str) -> Result<usize> {
        let node = self.first_that_answers()?;
        let Reply::Integer(slot) = self.ask(node, &["CLUSTER", "KEYSLOT", key])? else {
            return Err(Error::Redis { node, message: "no slot for a key".to_owned() });
        };
        self.members(node)?
            .iter()
            .filter(|member| member.is_master && !member.is_down)
            .find(|member| {
                member
                    .slots
                    .iter()
                    .any(|range| u16::try_from(slot).is_ok_and(|s| range.contains(&s)))
            })
            .and_then(|member| self.node_of(member.port))
            .ok_or_else(|| Error::NoSuchServer(format!("master of the slot {slot}")))
    }

    /// The masters that are up, as seen by the first node that answers.
    pub fn masters(&self) -> Result<Vec<usize>> {
        self.nodes(|member| member.is_master && !member.is_down && !member.slots.is_empty())
    }

    /// The replicas that are up, as seen by the first node that answers.
    pub fn replicas(&self) -> Result<Vec<usize>> {
        self.nodes(|member| !member.is_master && !member.is_down)
    }

    /// The replicas of one master, as seen by the first node that answers.
    pub fn replicas_of(&self, master: usize) -> Result<Vec<usize>> {
        let port = self.address(master)?.port();
        let all = self.members(self.first_that_answers()?)?;
        let id = all.iter().find(|member| member.port == port).map(|member| member.id.clone());
        self.nodes(|member| member.master.is_some() && member.master == id && !member.is_down)
    }

    pub(super) fn try_ask(&self, node: usize, command: &[&str]) -> io::Result<Reply> {
        let address = self.address(node).map_err(io::Error::other)?;
        Connection::open(address, &self.password, PATIENCE)?.ask(command)
    }

    fn first_that_answers(&self) -> Result<usize> {
        (1..=NODES)
            .find(|&node| {
                self.processes[node - 1].is_some()
                    && self.try_ask(node, &["PING"]).is_ok_and(|reply| reply.text().is_some())
            })
            .ok_or_else(|| Error::NoSuchServer("node of Redis that answers".to_owned()))
    }

    pub(super) fn members(&self, node: usize) -> Result<Vec<Member>> {
        match self.ask(node, &["CLUSTER", "NODES"])? {
            Reply::Text(text) => Ok(members(&text)),
            other => Err(Error::Redis { node, message: format!("{other:?}") }),
        }
    }

    fn nodes(&self, is_wanted: impl Fn(&Member) -> bool) -> Result<Vec<usize>> {
        let all = self.members(self.first_that_answers()?)?;
        let mut nodes: Vec<usize> = all
            .iter()
            .filter(|member| is_wanted(member))
            .filter_map(|member| self.node_of(member.port))
            .collect();
        nodes.sort_unstable();
        Ok(nodes)
    }

    fn node_of(&self, port: u16) -> Option<usize> {
        (1..=NODES).find(|&node| self.port(node) == port)
    }
}
