//! HTTP: connections, routes, and what is done to every request.

pub mod deadline;
pub mod extract;
pub mod linger;
pub mod middleware;
pub mod router;
pub mod server;
