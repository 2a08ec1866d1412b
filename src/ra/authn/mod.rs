//! Authentication of clients: TLS client certificate, HTTP Basic or Digest, or both (RFC 7030 §3.2.3,
//! §3.3.2). Each proof of identity has a file.
//!
//! | File | Proof |
//! |---|---|
//! | `certificate` | TLS client certificate, looked up in the store; `alarm` if it should be on record and is not |
//! | `basic` | HTTP Basic (RFC 7617) |
//! | `digest` | HTTP Digest (RFC 7616) |
//! | `token` | one-time token (RFC 7030 §6) |
//! | `shared_secret` | identity proof of CMC (RFC 5272 §6.2) |
//! | `rights` | what the proofs that hold give the right to: the table of proofs |
//! | `account` | rules common to all proofs by a password |
//! | `claim` | the same without a connection, for an explanation |

mod account;
mod alarm;
mod basic;
mod certificate;
mod claim;
mod digest;
mod identity;
mod rights;
mod shared_secret;
mod token;

pub use certificate::RecordLookup;
pub(super) use certificate::needed_to_renew;
pub use claim::{AuthnFinding, Claim, ProofFinding};
pub use identity::{Credentials, Identity, Presented, Rights, Standing};

use super::{
    Error, Peer, failures::Failures, nonces::Nonces, password::Memories, succession::Successions,
};
use crate::{
    entropy::Entropy,
    policy::{self, Passwords, Scheme, Superseding, UnknownCertificates},
    store::{Account, Issuance, Store, Token},
    telemetry::audit::Facts,
    types::{Actor, AuthMethod, CaName, Label, Operation, Origin, RequestId, Time},
};
use account::NameMask;
use alarm::Alarms;
use certificate::CertificateOutcome;
use claim::Evidence;
use rights::Given;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OnceCell, Semaphore};

/// Maximum number of concurrent password checks, on any number of cores: each uses 19 MiB of
/// memory.
const MAX_CHECKS: usize = 8;

/// Authenticates clients.
pub struct Authenticator {
    pub(in crate::ra) store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    realm: String,
    nonce_lifetime: Duration,
    started: Time,
    /// Created when the first label needs it: the store of a server without Digest holds no key.
    nonces: OnceCell<Nonces>,
    failures: Arc<Failures>,
    alarms: Alarms,
    successions: Successions,
    /// Masks user names that are not those of accounts.
    names: NameMask,
    /// Permits of password checks, one per core up to [`MAX_CHECKS`]: each occupies 19 MiB and a core
    /// for tens of milliseconds.
    checks: Arc<Semaphore>,
    /// Permits of requests that wait for a check; more are turned away.
    waiting: Arc<Semaphore>,
    /// The working memory of the checks, one each.
    memories: Arc<Memories>,
}

/// The owner of the secret that a client proves.
enum Holder {
    /// Of a password.
    Account(Account),
    /// Of a one-time token.
    Token(Box<Token>),
}

/// The parts of a request that authentication uses: rules, connection, operation and time.
#[derive(Clone, Copy)]
pub struct AuthnContext<'a> {
    /// The rules of the label.
    pub rules: &'a policy::LabelRules,
    /// The label; none for requests without one.
    pub label: Option<&'a Label>,
    /// The connection.
    pub peer: &'a Peer,
    /// The requested operation.
    pub operation: Operation,
    /// The time of the request.
    pub now: Time,
}

impl<'a> AuthnContext<'a> {
    fn origin(self) -> Origin {
        Origin::of(self.peer.address.ip())
    }

    /// The grace period in which the operation accepts an expired certificate.
    const fn grace(self) -> Duration {
        match self.operation {
            Operation::SimpleReenroll | Operation::SimpleEnroll | Operation::ServerKeyGen => {
                self.rules.renewal.grace
            }
            Operation::CaCerts | Operation::FullCmc | Operation::CsrAttrs => Duration::ZERO,
        }
    }

    /// How long after the grace period a retry may show the certificate (D-10).
    const fn retries(self) -> Duration {
        match self.operation {
            Operation::SimpleReenroll | Operation::SimpleEnroll => self.rules.retry_window,
            _ => Duration::ZERO,
        }
    }

    /// The CA whose certificates the operation accepts without a record (D-36).
    fn accepts_unknown_of(self) -> Option<&'a CaName> {
        let renews = matches!(self.operation, Operation::SimpleEnroll | Operation::SimpleReenroll);
        match self.rules.unknown_certificates {
            UnknownCertificates::RenewOwnNames { until } if renews && self.now < until => {
                Some(&self.rules.ca)
            }
            UnknownCertificates::RenewOwnNames { .. } | UnknownCertificates::Reject => None,
        }
    }
}

impl Authenticator {
    /// Authenticates against the accounts and certificates of `store`. `started`: when this server
    /// started.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
        rules: &Passwords,
        started: Time,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let checks = cores.min(MAX_CHECKS);
        Self {
            store,
            entropy,
            realm: rules.realm.clone(),
            nonce_lifetime: rules.nonce_lifetime,
            started,
            nonces: OnceCell::new(),
            failures: Arc::new(Failures::new(rules)),
            names: NameMask::default(),
            alarms: Alarms::default(),
            successions: Successions::default(),
            checks: Arc::new(Semaphore::new(checks)),
            waiting: Arc::new(Semaphore::new(checks * 32)),
            memories: Arc::new(Memories::new(checks)),
        }
    }

    /// Frees the working memory of password checks after a minute without one. Call it periodically.
    pub fn release_idle(&self, now: Instant) {
        self.memories.release_idle(now);
    }

    /// Revokes the predecessor of a certificate that was used, once for each: see [`Successions`].
    pub(super) async fn record_use(
        &self,
        superseding: &Superseding,
        used: &Issuance,
        request_id: Option<&RequestId>,
        now: Time,
    ) {
        self.successions.use_of(&*self.store, superseding, used, request_id, now).await;
    }

    /// Authenticates a client by the proofs that the rules accept. A password that is sent must be
    /// right wherever it could help, also if the certificate alone is enough. A renewal may show an
    /// expired certificate of this server within the label's grace period.
    ///
    /// Adds the known facts about a rejected client to `facts`. Sets `schemes` to those of the passwords
    /// that could help it (D-41): its certificate does not end their alternatives.
    ///
    /// # Errors
    /// Authentication errors of [`Error`], [`Error::Store`], [`Error::Busy`], [`Error::Internal`].
    pub async fn authenticate(
        &self,
        context: AuthnContext<'_>,
        credentials: Option<&Credentials>,
        facts: &mut Facts,
        schemes: &mut Vec<Scheme>,
    ) -> Result<Identity, Error> {
        let outcome = self.identify(context, Evidence::Sent(credentials), facts, schemes).await;
        if outcome.is_err() {
            certificate::describe_shown(context.peer, facts);
        }
        outcome
    }

    async fn identify(
        &self,
        context: AuthnContext<'_>,
        evidence: Evidence<'_>,
        facts: &mut Facts,
        schemes: &mut Vec<Scheme>,
    ) -> Result<Identity, Error> {
        let (rules, operation) = (context.rules, context.operation);
        let none = &CertificateOutcome::Absent;
        let given = Given { rules, operation, certificate: none, password: None };
        let certificate = &match given.takes_certificates(evidence.has_credentials()) {
            true => self.check_certificate(context, evidence.explains()).await?,
            false => CertificateOutcome::Absent,
        };
        // An explanation shows why a new request is rejected.
        if let CertificateOutcome::Late(presented, end) = certificate
            && !evidence.explains()
        {
            let open = Given { certificate, ..given }.schemes().unwrap_or_default();
            let password_helps = !open.is_empty();
            // A password that enrolls needs no certificate.
            if !password_helps || !evidence.has_credentials() {
                let accepted = &CertificateOutcome::Accepted(presented.clone(), Some(*end));
                let given = Given { certificate: accepted, ..given };
                let mut identity = self.prove(context, evidence, facts, schemes, given).await?;
                *schemes = open;
                identity.rights.retry_only = Some(certificate.rejection());
                identity.rights.password_helps = password_helps;
                return Ok(identity);
            }
        }
        self.prove(context, evidence, facts, schemes, Given { certificate, ..given }).await
    }

    /// Checks the password, if one is needed beside the certificate, and combines both.
    async fn prove(
        &self,
        context: AuthnContext<'_>,
        mut evidence: Evidence<'_>,
        facts: &mut Facts,
        schemes: &mut Vec<Scheme>,
        given: Given<'_>,
    ) -> Result<Identity, Error> {
        let certificate = given.certificate;
        evidence.note(context, given);
        let Some(open) = given.schemes() else {
            // A password would not help, so it is not checked.
            return Err(match certificate {
                CertificateOutcome::NotYetValid(rejection) => Error::NotYetValid(rejection.clone()),
                _ => Error::CertificateNeeded(given.rejection()),
            });
        };
        *schemes = open;
        let holder = match &evidence {
            _ if schemes.is_empty() => None,
            Evidence::Sent(Some(credentials)) => {
                let holder = self.check_credentials(context, schemes, credentials, facts).await?;
                Some((holder, credentials.scheme()))
            }
            Evidence::Claimed(Some(claim), _) => {
                Some(self.check_claim(context, schemes, claim, facts).await?)
            }
            Evidence::Sent(None) | Evidence::Claimed(None, _) => None,
        };
        let given = Given { password: holder.as_ref().map(|(_, scheme)| *scheme), ..given };
        let (account, token) = match holder {
            Some((Holder::Account(account), scheme)) => (Some((account.name, scheme)), None),
            Some((Holder::Token(token), _)) => (None, Some(token)),
            None => (None, None),
        };
        evidence.note(context, given);
        let rights = given.rights().map_err(|reason| match certificate {
            CertificateOutcome::NotYetValid(rejection) => Error::NotYetValid(rejection.clone()),
            _ => Error::Unauthenticated(reason),
        })?;
        let (presented, expired) = match certificate {
            CertificateOutcome::Accepted(presented, expired) => {
                (Some(Presented::clone(presented)), *expired)
            }
            _ => (None, None),
        };
        let secret = match (&account, &token) {
            (Some((account, _)), _) => Some((account.clone(), false)),
            (None, Some(token)) => Some((format!("token {}", token.id.short()), true)),
            (None, None) => None,
        };
        let actor = match (&presented, secret) {
            (Some(presented), Some((secret, is_token))) => Actor {
                name: format!("{} [{secret}]", presented.certificate.subject()),
                method: match is_token {
                    true => AuthMethod::CertificateAndToken(presented.class()),
                    false => AuthMethod::CertificateAndPassword(presented.class()),
                },
            },
            (Some(presented), None) => Actor {
                name: presented.certificate.subject().to_string(),
                method: AuthMethod::Certificate(presented.class()),
            },
            (None, Some((name, true))) => Actor { name, method: AuthMethod::Token },
            (None, Some((name, false))) => Actor { name, method: AuthMethod::Password },
            // Each proof is a certificate, a password or a token.
            (None, None) => return Err(Error::Internal("rights without a proof".to_owned())),
        };
        Ok(Identity { actor, presented, account, token, expired, rights })
    }
}

#[cfg(test)]
mod tests;
