//! The registration authority: authenticates clients and decides on their requests.

mod authn;
mod call;
mod decide;
mod error;
mod failures;
mod nonces;
mod password;
mod peer;
mod revocation;
mod rules;
mod succession;

pub use authn::{
    Authenticator, AuthnContext, Credentials, Identity, Presented, RecordLookup, Rights, Standing,
};
pub use call::{Authenticated, Authority, Call, Cause, Door, Rejected};
pub use decide::{Policy, Requester, decide, explain, is_ra};
pub use error::Error;
pub use password::{MAX_PASSWORD, NoHash, Recomputed, generate, hash, recomputable, verify};
pub use peer::{ClientCertificate, ClientChain, Peer, Verdict};
pub use revocation::RevocationStatus;
pub use rules::{Comparison, Finding, Outcome, RULES, Rule};
