//! Seeing it: metrics and the access log. One record an exchange feeds both.

mod access_log;
mod closings;
mod combined;
mod gauges;
mod json;
mod metrics;
mod record;
mod second;
mod series;
mod services;

pub use access_log::{AccessLog, AccessLogError, Prepared as PreparedLog};
pub use closings::Closings;
pub use gauges::{SnapshotGauges, SnapshotSource};
pub use metrics::{Handshake, Metrics};
pub use record::AccessRecord;
pub use series::{QueueSeries, RouteSeries, UpstreamSeries};
pub use services::ServiceGauges;
