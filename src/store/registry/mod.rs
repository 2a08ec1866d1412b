//! The registry: devices and one-time tokens.

mod conditions;
mod device;
mod token;

pub use conditions::{Conditions, Denial};
pub use device::{Device, DeviceStanding, Identifier};
pub use token::{Grant, Token};
