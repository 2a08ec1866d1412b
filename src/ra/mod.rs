//! The registration authority: authenticates clients and decides on their requests.

mod authn;
mod call;
mod decide;
mod device;
mod error;
mod explain;
mod failures;
mod foresee;
mod nonces;
mod password;
mod peer;
mod recent;
mod revocation;
mod rules;
mod succession;
mod token;

pub use authn::{
    Authenticator, AuthnContext, AuthnFinding, Claim, Credentials, Identity, Presented,
    ProofFinding, RecordLookup, Rights, Standing,
};
pub use call::{Authenticated, Authority, Call, Cause, Door, Rejected};
pub use decide::{Policy, Requester, decide, is_ra};
pub use device::FoundDevice;
pub use error::Error;
pub use explain::{Explained, Inquiry};
pub use password::{
    MAX_PASSWORD, NoHash, Recomputed, generate, hash, proof_keys, recomputable, verify,
};
pub use peer::{ClientCertificate, ClientChain, JudgedChain, Peer, Verdict};
pub use recent::{RecentRequests, RecordedOutcome, RecordedRequest};
pub use revocation::RevocationStatus;
pub use rules::{Comparison, Finding, Outcome, RULES, Rule, claimed_binding, has_binding};
pub use token::{TokenText, WrongChecksum};
