//! The linter: good structures pass, each malformed one is stopped before a signer by the rule that it
//! breaks, and a CA signs nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/malformed.rs"]
mod malformed;

mod authority;
mod counting;
mod profiles;
mod rules;
