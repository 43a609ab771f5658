//! What goes back to the client: header edits, and the one table from cause to
//! status, words and Proxy-Status.

mod cause;
mod closing;
mod edits;
mod page;

pub use cause::{Cause, Fault};
pub use closing::Closing;
pub use edits::{EditFields, HeaderEdits};
pub use page::Page;
