//! The registry: devices and one-time tokens.

mod conditions;
mod device;
mod evaluate;
mod filter;
mod identifier;
mod stored;
mod token;

pub use conditions::{Conditions, Unmet};
pub use device::{Device, DeviceStanding, Identifier};
pub(super) use evaluate::{Effects, KnownFacts};
pub use filter::{DeviceFilter, ImportNumber, TokenFilter};
pub use identifier::InvalidIdentifier;
pub(super) use stored::{Staging, StoredDevice, StoredOwner, read_import};
pub use token::{Grant, Token};
