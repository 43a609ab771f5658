//! Ports that are given, or found free and kept from other tests.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::wait;

/// Below the ports that Linux gives to outgoing connections and to `bind` with port 0
/// (32768 and up), so that no other test gets one of ours between two of our servers' lives;
/// beside the fixed ports of `make fleet`.
const FIRST: u16 = 20_000;
const BLOCK: u16 = 16;
const BLOCKS: u16 = 437;

/// Ports on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Ports {
    numbers: Vec<u16>,
    /// The first port of the block, on which nobody is answered: who holds it has the block.
    _claim: Option<TcpListener>,
}

impl Ports {
    /// These; somebody may be there already, and has to be ours.
    pub(crate) fn given(numbers: &[u16]) -> Self {
        Self { numbers: numbers.to_vec(), _claim: None }
    }

    /// So many free ones, ours as long as this lives: other processes that ask here get others.
    pub(crate) fn free(count: usize) -> Result<Self> {
        let start = fastrand::u16(0..BLOCKS);
        for turn in 0..BLOCKS {
            let first = FIRST + (start + turn) % BLOCKS * BLOCK;
            let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) else { continue };
            let numbers: Vec<u16> =
                (first + 1..first + BLOCK).filter(|&port| is_free(port)).take(count).collect();
            if numbers.len() == count {
                return Ok(Self { numbers, _claim: Some(claim) });
            }
        }
        Err(Error::NoPorts(count))
    }

    pub(crate) fn get(&self, index: usize) -> u16 {
        self.numbers[index]
    }
}

/// Sockets of a process that was killed are there a moment longer.
const MOMENT: Duration = Duration::from_secs(1);

/// An error that names the first of these that somebody listens on.
pub(crate) fn check_free(numbers: &[u16]) -> Result<()> {
    for &port in numbers {
        if !wait::for_end(MOMENT, || is_free(port)) {
            return Err(Error::PortInUse(port));
        }
    }
    Ok(())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_never_get_the_same() {
        let held: Vec<Ports> = (0..20).map(|_| Ports::free(12).unwrap()).collect();
        let all: Vec<u16> = held.iter().flat_map(|ports| ports.numbers.clone()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 240);
        assert!(all.iter().all(|port| (20_000..27_000).contains(port)));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check_free(&[port]).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port} is already in use")), "{error}");
    }
}
