//! estd: an RFC 7030 (EST) enrollment server for device fleets, and the device's client.
//!
//! Each module names those above it in this list; `tests/layering.rs` holds the exact tables.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`types`], [`clock`], [`entropy`] | small checked values; time and randomness, passed in |
//! | `failpoint` | steps at which a test kills the process; nothing in a build for use |
//! | [`telemetry`] | audit events and where they go |
//! | [`digest`] | HTTP Digest: header fields and arithmetic |
//! | [`policy`] | the words of the rules: what labels, profiles, CAs and passwords are subject to |
//! | [`config`] | reads est.toml into checked settings |
//! | [`binding`] | channel bindings of TLS connections, for both ends |
//! | [`pki`] | DER in and out: CSR, certificate, CMS, names, keys |
//! | [`store`] | every certificate's record: memory, sled |
//! | [`ca`] | the certification authority: profile, serial number, signature, record |
//! | [`ra`] | the registration authority: who asks, and whether they may |
//! | [`est`] | the operations of RFC 7030, free of transport |
//! | [`api`], [`admin`] | what an operator may ask for |
//! | [`http`] | from a request's bytes to an operation, and back |
//! | [`server`] | keys and folders at the start, TLS, listeners, reload |
//! | [`client`], [`cli`] | the other end; the commands |
//!
//! An enrollment goes one way: [`http::est::handle`] finds the route and the label's endpoint,
//! [`ra::Call::authenticate`] makes an [`ra::Authenticated`], only then the body is read,
//! [`ra::Authenticated::enroll`] verifies the CSR and has [`ra::decide()`] decide, and
//! [`ca::Ca::issue`] records, signs, records, and returns the certificate.

pub mod admin;
pub mod api;
pub mod binding;
pub mod ca;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod digest;
pub mod entropy;
pub mod est;
mod failpoint;
pub mod http;
pub mod pki;
pub mod policy;
pub mod ra;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod types;
