//! estd: an RFC 7030 (EST) enrollment server for device fleets, and the device's client.
//!
//! Each module names those above it in this list; `tests/layering` holds the exact tables.
//!
//! | Module | Purpose |
//! |---|---|
//! | [`types`], [`clock`], [`entropy`] | small checked values; time and randomness, passed in |
//! | [`durable`] | files that survive a power failure |
//! | `failpoint` | steps at which a test kills the process; nothing in a build for use |
//! | [`telemetry`] | audit events and where they go |
//! | [`digest`] | HTTP Digest: header fields and arithmetic |
//! | [`policy`] | the types of the rules for labels, profiles, CAs and passwords |
//! | [`binding`] | channel bindings of TLS connections, for both ends |
//! | [`pki`] | DER in and out: CSR, certificate, CMS, names, keys |
//! | [`naming`] | rules about the names in a certificate |
//! | [`config`] | reads est.toml into checked settings |
//! | [`store`] | every certificate's record: memory, sled |
//! | [`ca`] | the certification authority: profile, serial number, signature, record |
//! | [`ra`] | the registration authority: authentication and authorization |
//! | [`est`] | the operations of RFC 7030, free of transport |
//! | [`api`], [`admin`] | the operations of operators |
//! | [`http`] | from a request's bytes to an operation, and back |
//! | [`server`] | keys and folders at the start, TLS, listeners, reload |
//! | [`client`], [`device`] | the device's end; the commands of `est` |
//! | [`cli`] | the commands of `estd` |
//!
//! An enrollment is processed in this order:
//!
//! 1. [`http::est::handle`] finds the route and the label's endpoint.
//! 2. [`ra::Call::authenticate`] returns an [`ra::Authenticated`]; only then is the body read.
//! 3. [`ra::Authenticated::enroll`] verifies the CSR and calls [`ra::decide()`].
//! 4. [`ca::Ca::issue`] records the intent, signs, records the certificate, and returns it.

pub mod clock;
pub mod digest;
pub mod durable;
pub mod pki;
pub mod types;

// `est` and the library that it is written with.
#[cfg(feature = "client")]
pub mod binding;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod device;

// `estd`.
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod ca;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod entropy;
#[cfg(feature = "server")]
pub mod est;
#[cfg(feature = "server")]
mod failpoint;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod lint;
#[cfg(feature = "server")]
pub mod naming;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod ra;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
