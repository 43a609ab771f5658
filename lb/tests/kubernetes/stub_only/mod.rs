//! What only the API server in this process can be made to do or to tell. A run against
//! a real one leaves this group out (`anywhere::` names the other).

mod credentials;
mod malformed;
mod outages;
mod questions;
mod resuming;
mod taking_over;
