//! Real clients against the real program with the settings of est.toml, and real readers of what
//! it issues. tests/run installs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/postgres.rs"]
mod postgres;

mod clients;
mod crash;
mod faults;
mod powercut;
mod process;
mod readers;
mod store;
