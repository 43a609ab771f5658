//! The decision: what happens to a request, and why.
//!
//! [`decide`] is a pure function over a [`Table`]: no I/O, no clock, no state.
//! The live path and every tool that explains a configuration call it; there is
//! no second matcher. What it answers is a [`Verdict`]; the engines carry it
//! out and apply state (tokens, leases, health) around it.
//!
//! Names neither Pingora nor tokio.

mod conditions;
mod decide;
mod head;
mod hosts;
mod key;
mod paths;
mod prefixes;
mod redirect;
mod table;

pub use conditions::Conditions;
pub use decide::{Action, Verdict, decide};
pub use head::{Client, HeaderFields, ListenerId, RequestHead};
pub use key::{Key, KeySeed, address_key, key_of};
pub use paths::{PathMatch, PathRegexError};
pub use redirect::Redirect;
pub use table::{
    Charge, Concurrency, ConcurrencyId, Forward, HostId, HostSpec, LimitId, Retry, RetryOn, Route,
    RouteAction, RouteId, Table, TableBuilder, TableError, Timeouts, UpstreamId, VirtualHost,
};
