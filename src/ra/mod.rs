//! The registration authority: who asks, and whether they may have what they ask for.

mod authn;
mod call;
mod decide;
mod error;
mod failures;
mod linking;
mod nonces;
mod password;
mod peer;

pub use authn::{
    Authenticator, Credentials, Identity, Presented, Recorded, Standing, Unauthenticated,
};
pub use call::{Authenticated, Authority, By, Call, Cause, Door, Rejected};
pub use decide::{Decision, Denial, Policy, Request, decide, is_ra};
pub use error::Error;
pub use password::{MAX_PASSWORD, NoHash, Recomputed, generate, hash, recomputable};
pub use peer::{ClientCertificate, ClientChain, Peer, Verdict};
