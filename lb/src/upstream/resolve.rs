//! From the name of an endpoint to its address.
//!
//! The system's resolver is asked; a name with several addresses gets the first
//! that accepts a connection. While a name cannot be resolved its endpoint
//! takes no traffic; an address that was found is kept until another is.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::EndpointState;
use crate::values::EndpointAddress;

/// How long one question or one attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Resolves the endpoint's name once, if it has one. `Err` with the reason.
pub(super) async fn resolve(state: &EndpointState) -> Result<(), String> {
    let EndpointAddress::Name(name, port) = state.address() else { return Ok(()) };
    let found = match timeout(PATIENCE, lookup_host((name.as_str(), *port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("{name} cannot be resolved: {error}")),
        Err(_) => return Err(format!("{name} was not resolved within {} s", PATIENCE.as_secs())),
    };
    let chosen = match found.as_slice() {
        [] => return Err(format!("{name} has no address")),
        [only] => *only,
        several => first_reachable(several).await.unwrap_or(several[0]),
    };
    state.set_resolved(chosen);
    Ok(())
}

async fn first_reachable(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    for address in addresses {
        if let Ok(Ok(_)) = timeout(PATIENCE, TcpStream::connect(address)).await {
            return Some(*address);
        }
    }
    None
}
