//! The server as a client sees it: one binary, a module for each part of the protocol. A test
//! whose name begins with `r_` proves the requirement of that id in docs/requirements.tsv.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/acme.rs"]
mod acme;
#[path = "../common/chain.rs"]
mod chain;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/encodings.rs"]
mod encodings;
#[path = "../common/keygen.rs"]
mod keygen;
#[path = "../common/postgres.rs"]
mod postgres;

mod altered;
mod authorization;
mod awkward;
mod bad_input;
mod cacerts;
mod certificate;
mod chains;
mod clock;
mod configuration;
mod connections;
mod csrattrs;
mod devices;
mod digest;
mod encoding;
mod enroll;
mod explain;
mod fullcmc;
mod fullcmc_controls;
mod fullcmc_message;
mod http2;
mod inventory;
mod labels;
mod life;
mod linking;
mod manufacturer_crl;
mod names;
mod nonsense;
mod operating;
mod paths;
mod proofs;
mod quota;
mod reenroll;
mod registry;
mod renewal;
mod revoke;
mod serverkeygen;
mod signer;
mod store;
mod superseding;
mod sweep;
mod tls;
mod tokens;
mod trust;
mod unknown;
mod who;
mod without_http;
