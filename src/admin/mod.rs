//! Handlers of the operator's calls. The Unix socket and the commands that open the store themselves
//! share them, so that both behave the same.

mod audit;
mod cas;
mod certificates;
pub mod check;
mod contents;
mod error;
mod explain;
mod pattern;
mod process;
mod revoke;
mod select;
mod service;
mod trail;
mod users;
mod values;

pub use error::Error;

pub use service::{Admin, Explainer, Handle, Process};
pub use users::new_password;
