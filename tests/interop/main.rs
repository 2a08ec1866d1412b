//! Real clients against the real program with the settings of est.toml, and real readers of what
//! it issues. tests/run installs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/acme.rs"]
mod acme;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/keygen.rs"]
mod keygen;
#[path = "../common/malformed.rs"]
mod malformed;
#[path = "../common/postgres.rs"]
mod postgres;

mod audit;
mod boot;
mod check;
mod client_pages;
mod clients;
mod commands;
mod csrattrs;
mod database;
mod digest;
mod errors;
mod examples;
mod fullcmc;
mod handshakes;
mod idevid;
mod labels;
mod linking;
mod lint;
mod manufacturer_crl;
mod mutations;
mod names;
mod nodes;
mod nonsense;
mod operations;
mod operator;
mod policy;
mod powercut;
mod process;
mod readers;
mod registry;
mod revoke;
mod serverkeygen;
mod store;
mod welcome;

/// The delivered program has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[test]
fn the_program_has_no_steps_to_be_killed_at() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_estd")).unwrap();
    let holds = |text: &str| program.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("ESTD_LOG"));
    assert!(!holds("ESTD_KILL_AT") && !holds("issue: signed"));
}
