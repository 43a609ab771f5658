//! Makes one cluster of six nodes that know nobody: what `redis-cli --cluster create` does,
//! with the masters always the first three.

use super::{MASTERS, NODES, READY, RedisCluster, Reply};
use crate::error::{Error, Result};
use crate::wait;

const SLOTS: usize = 16_384;

impl RedisCluster {
    pub(super) fn join(&self) -> Result<()> {
        for node in 1..=NODES {
            // All different, so that nobody has to give way while they meet.
            self.tell(node, &["CLUSTER", "SET-CONFIG-EPOCH", &node.to_string()])?;
        }
        for master in 1..=MASTERS {
            let first = (master - 1) * SLOTS / MASTERS;
            let last = master * SLOTS / MASTERS - 1;
            self.tell(
                master,
                &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()],
            )?;
        }
        for node in 2..=NODES {
            let port = self.port(node).to_string();
            let bus = self.bus_port(node).to_string();
            self.tell(1, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        wait::until(READY, "nodes that know each other", || {
            for node in 1..=NODES {
                if self.members(node)?.iter().filter(|member| !member.is_down).count() < NODES {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        for replica in MASTERS + 1..=NODES {
            let Reply::Text(id) = self.ask(replica - MASTERS, &["CLUSTER", "MYID"])? else {
                return Err(Error::Redis { node: replica, message: "no id".to_owned() });
            };
            // Refused as long as it has not heard that this is a master.
            wait::until(READY, "a replica that accepts its master", || {
                Ok(self.ask(replica, &["CLUSTER", "REPLICATE", &id])?.text() == Some("OK"))
            })?;
        }
        Ok(())
    }

    fn tell(&self, node: usize, command: &[&str]) -> Result<()> {
        match self.ask(node, command)? {
            Reply::Error(message) => Err(Error::Redis { node, message }),
            _ => Ok(()),
        }
    }
}
