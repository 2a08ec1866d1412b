//! estd: an RFC 7030 (EST) enrollment server for device fleets.

pub mod admin;
pub mod api;
pub mod ca;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod est;
pub mod http;
pub mod pki;
pub mod ra;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod types;
