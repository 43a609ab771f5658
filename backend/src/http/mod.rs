//! HTTP: connections, routes, and what is done to every request.

pub mod bearer;
pub mod deadline;
pub mod extract;
pub mod fields;
pub mod linger;
pub mod middleware;
pub mod position;
pub mod router;
pub mod server;
