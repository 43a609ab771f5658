//! What holds for every cluster: with the API server in this process, or a real one.

mod away;
mod bad_input;
mod many;
mod mixed;
mod readiness;
mod reloading;
mod scaling;
mod slices;
mod terminating;
mod zones;
