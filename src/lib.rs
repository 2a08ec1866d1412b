//! estd: an RFC 7030 (EST) enrollment server for device fleets.

pub mod ca;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod pki;
pub mod ra;
pub mod store;
pub mod telemetry;
pub mod types;
