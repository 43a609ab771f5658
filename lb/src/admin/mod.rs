//! What monitoring and orchestration ask, and what operators have done.

mod operator;
mod report;
mod serve;
mod status;

pub use operator::{Desk, ReloadRequests, serve_admin};
pub use report::{Outcome, ReloadReport, ReportedProblem};
pub use status::{StatusContext, StatusError, bind_status, serve_status};
