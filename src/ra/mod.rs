//! The registration authority: who asks, and whether they may have what they ask for.

mod authn;
mod decide;
mod linking;
mod password;

pub use authn::{Authenticator, Credentials, Identity, Unauthenticated};
pub use decide::{Decision, Denial, Policy, Request, decide};
pub use password::{MAX_PASSWORD, NoHash, generate, hash};
