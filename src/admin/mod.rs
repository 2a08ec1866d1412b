//! Handlers of the operator's calls. The Unix socket and the commands that open the store themselves
//! share them, so that both behave the same.

mod audit;
mod cas;
mod certificates;
pub mod check;
mod contents;
mod devices;
mod error;
mod explain;
mod imports;
mod pattern;
mod process;
mod registration;
mod revoke;
mod select;
mod service;
mod standing;
mod tokens;
mod trail;
mod users;
mod values;

pub use error::Error;

pub use registration::check_new_device;
pub use service::{Admin, Explainer, Handle, Process};
pub use tokens::{FreshToken, new_token, token_id_of};
pub use users::new_password;
