//! The running server: folders and keys at the start, listeners, TLS, reload, the end.

mod connections;
mod core;
mod crl_files;
mod descriptors;
mod error;
mod explain;
mod first_account;
mod handshakes;
mod health;
mod hello;
mod https;
mod identity;
mod listener;
mod place;
mod process;
mod running;
pub mod setup;
mod snapshot;
mod socket;
mod succession;
mod sweep;
mod throttle;
mod tls;
mod trust;
mod validation;

pub use error::Error;
pub use explain::OfflineRules;
pub use first_account::FirstAccount;
pub use health::{Repeat, Warning, setting_warnings};
pub use place::{check_disk, check_place};
pub use running::{Running, start};
pub use setup::{Backend, BackendKind, Installation, private_folder};
pub use snapshot::Environment;
pub use sweep::Swept;
pub use validation::Validations;
