//! Who asks: TLS client certificate, HTTP Basic or Digest, or both (RFC 7030 §3.2.3, §3.3.2).

mod alarm;
mod certificate;
mod password;

pub use certificate::{Presented, Recorded, Standing};

use super::{
    failures::{Blocked, Failures},
    nonces::{NoKey, Nonces},
    password::Memories,
    peer::Peer,
};
use crate::{
    digest::{Algorithm, Answer, Challenge},
    entropy::{Entropy, NoEntropy},
    pki::Certificate,
    policy::{self, Authentication, Passwords, Scheme, UnknownCertificates},
    store::{self, Issuance, Password, ProofKeys, Store},
    telemetry::audit::Facts,
    types::{Actor, Label, Method, Operation, Origin, Rejection, Time},
};
use alarm::Alarms;
use certificate::{Judged, Renewal, Shown, judge, shown};
use password::{Names, may_use, no_password, too_many};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

/// What a client proves who it is with, beside a certificate.
#[derive(Clone)]
pub enum Credentials {
    /// HTTP Basic (RFC 7617 §2).
    Basic {
        /// The user name; may be empty (RFC 7030 §3.2.3).
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// HTTP Digest (RFC 7616 §3.4), for a target that is the request's.
    Digest {
        /// What the client answered.
        answer: Box<Answer>,
        /// The request's method.
        method: String,
    },
}

impl Credentials {
    fn user(&self) -> &str {
        match self {
            Self::Basic { user, .. } => user,
            Self::Digest { answer, .. } => &answer.user,
        }
    }

    fn scheme(&self) -> Scheme {
        match self {
            Self::Basic { .. } => Scheme::Basic,
            Self::Digest { answer, .. } => match answer.algorithm {
                Algorithm::Sha256 => Scheme::Digest,
                Algorithm::Md5 => Scheme::DigestMd5,
            },
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user())
            .field("scheme", &self.scheme())
            .finish_non_exhaustive()
    }
}

/// A client whose claims were checked.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who, and how that is known.
    pub actor: Actor,
    /// The certificate that it showed, if that was accepted.
    pub presented: Option<Presented>,
    /// How its password was proved, if one was.
    pub scheme: Option<Scheme>,
    /// When the certificate expired, if it was taken all the same, to be renewed.
    pub expired: Option<Time>,
}

/// Why nobody is authenticated.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// A password could help: 401 with a challenge (R-7030-3.2.3-d).
    #[error("{0}")]
    Challenge(Rejection),
    /// The password is right, and the nonce that it was proved for is not ours, too old, or used:
    /// 401 with a new one (RFC 7616 §3.3).
    #[error("{0}")]
    Stale(Rejection),
    /// Too many passwords were wrong: 429.
    #[error("{rejection}")]
    TooManyFailures {
        /// What is limited.
        rejection: Rejection,
        /// When to try again.
        seconds: u32,
    },
    /// Only a certificate could help, and none or a bad one was shown: 403 (D-24).
    #[error("{0}")]
    CertificateNeeded(Rejection),
    /// The accounts cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The certificate that would do becomes valid later: this server's clock is wrong, or was
    /// when it was issued.
    #[error("{0}")]
    NotYetValid(Rejection),
    /// Too many passwords are being checked at once.
    #[error("too many passwords are being checked")]
    Busy,
    /// No randomness, so no nonce.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// Checks of passwords at once at most, on however many cores: the memory that they work in is kept,
/// 19 MiB each.
const MOST_CHECKS: usize = 8;

/// Authenticates clients.
pub struct Authenticator {
    store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    realm: String,
    nonce_lifetime: Duration,
    started: Time,
    /// Made when the first label needs it: the store of a server without Digest holds no key.
    nonces: OnceCell<Nonces>,
    failures: Arc<Failures>,
    alarms: Alarms,
    /// Shows names that are not those of accounts.
    names: Names,
    /// Each check takes 19 MiB and a core for tens of milliseconds: as many as there are cores, up to
    /// [`MOST_CHECKS`].
    checks: Arc<Semaphore>,
    /// Those that may wait for a core; more are turned away.
    waiting: Arc<Semaphore>,
    /// What the checks work in: as many as there are checks at once.
    memories: Arc<Memories>,
}

impl Identity {
    /// The certificate that it showed, if that was accepted.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.presented.as_ref().map(|presented| &*presented.certificate)
    }

    /// Adds what the event of a request says of the client beside its actor.
    pub fn describe(&self, facts: &mut Facts) {
        if let Some(certificate) = self.certificate() {
            certificate::describe(certificate, facts);
        }
    }

    /// The record of that certificate, if this server issued it and an explicit anchor vouches for
    /// it. It was not revoked.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<Issuance>> {
        self.presented.as_ref().and_then(Presented::record)
    }
}

impl Authenticator {
    /// Checks passwords against the accounts of `store`. `started` is when this server did.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
        rules: &Passwords,
        started: Time,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let at_once = cores.min(MOST_CHECKS);
        Self {
            store,
            entropy,
            realm: rules.realm.clone(),
            nonce_lifetime: rules.nonce_lifetime,
            started,
            nonces: OnceCell::new(),
            failures: Arc::new(Failures::new(rules)),
            names: Names::default(),
            alarms: Alarms::default(),
            checks: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(at_once * 32)),
            memories: Arc::new(Memories::new(at_once)),
        }
    }

    /// Gives back the memory of checks of passwords if none has come for a minute. Call it now and
    /// then.
    pub fn release_idle(&self, now: Instant) {
        self.memories.release_idle(now);
    }

    /// The challenges of a 401 under these rules, in their order; `stale` if the client's password
    /// was right.
    ///
    /// # Errors
    /// [`Unauthenticated::Store`], [`Unauthenticated::Entropy`].
    pub async fn challenges(
        &self,
        rules: &policy::Policy,
        stale: bool,
        now: Time,
    ) -> Result<Vec<String>, Unauthenticated> {
        let mut challenges = Vec::new();
        for scheme in &rules.schemes {
            let algorithm = match scheme {
                Scheme::Basic => {
                    // Printable ASCII without quotation marks: configuration takes no other.
                    challenges.push(format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm));
                    continue;
                }
                Scheme::Digest => Algorithm::Sha256,
                Scheme::DigestMd5 => Algorithm::Md5,
            };
            let nonce = self.nonces().await?.make(&*self.entropy, now)?;
            let challenge = Challenge { realm: self.realm.clone(), nonce, algorithm, stale };
            challenges.push(challenge.to_string());
        }
        Ok(challenges)
    }

    /// The keys with which the owner of this account proves in CMC who it is (RFC 5272 §6.2.1,
    /// §6.3.1.1). None if there is no such account, if it may not enrol under the label, or if none
    /// were kept (`estd user add --identity-proof`). What is proved with them is checked by
    /// [`Self::check_proof`].
    ///
    /// # Errors
    /// [`Unauthenticated::TooManyFailures`]; [`Unauthenticated::Store`].
    pub async fn identity_proof_keys(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        user: &str,
        origin: Origin,
        now: Time,
    ) -> Result<Option<ProofKeys>, Unauthenticated> {
        if let Some(seconds) = self.failures.wait(origin, user, now) {
            return Err(Unauthenticated::TooManyFailures { rejection: too_many(), seconds });
        }
        let account = self.store.account(user).await?;
        let account = account.filter(|account| may_use(account, rules, label));
        Ok(account.and_then(|account| match account.password {
            Password::Recomputable(kept) => kept.identity_proof,
            Password::Hash(_) => None,
        }))
    }

    /// Checks a proof by the shared secret of an account. One that does not hold counts as a wrong
    /// password, and is counted before it is looked at.
    ///
    /// # Errors
    /// [`Unauthenticated::TooManyFailures`]; [`Unauthenticated::Busy`] while so many passwords of the
    /// account are being checked that all of them together could be too many.
    pub fn check_proof(
        &self,
        user: &str,
        origin: Origin,
        now: Time,
        holds: impl FnOnce() -> bool,
    ) -> Result<bool, Unauthenticated> {
        let attempt =
            self.failures.begin_now(origin, user, now).map_err(|blocked| match blocked {
                Blocked::For(seconds) => {
                    Unauthenticated::TooManyFailures { rejection: too_many(), seconds }
                }
                Blocked::ByOthers => Unauthenticated::Busy,
            })?;
        let holds = holds();
        if holds {
            attempt.take_back();
        }
        Ok(holds)
    }

    async fn nonces(&self) -> Result<&Nonces, Unauthenticated> {
        let open = || Nonces::open(&*self.store, &*self.entropy, self.nonce_lifetime, self.started);
        self.nonces.get_or_try_init(open).await.map_err(|rejection| match rejection {
            NoKey::Store(rejection) => Unauthenticated::Store(rejection),
            NoKey::Entropy(rejection) => Unauthenticated::Entropy(rejection),
        })
    }

    /// Finds out who asks, by what `rules` accept. A password that is sent has to be right, also
    /// where a certificate would do. A renewal may show a certificate of ours that has expired within
    /// the label's grace period. What is known of a client that is rejected is added to `facts`.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    #[allow(clippy::too_many_arguments, reason = "what counts for a decision is named")]
    pub async fn authenticate(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        peer: &Peer,
        credentials: Option<&Credentials>,
        operation: Operation,
        now: Time,
        facts: &mut Facts,
    ) -> Result<Identity, Unauthenticated> {
        let outcome = self.identify(rules, label, peer, credentials, operation, now, facts).await;
        // Where certificates do not count they are not looked at.
        if outcome.is_err() && rules.authentication != Authentication::Password {
            certificate::describe_shown(peer, facts);
        }
        outcome
    }

    #[allow(clippy::too_many_arguments, reason = "those of authenticate")]
    async fn identify(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        peer: &Peer,
        credentials: Option<&Credentials>,
        operation: Operation,
        now: Time,
        facts: &mut Facts,
    ) -> Result<Identity, Unauthenticated> {
        use Authentication::{Both, Certificate as ByCertificate, Either, Password};
        let demand = rules.authentication;
        let shown = match demand {
            Password => Shown::Nothing,
            _ => shown(peer.certificate().await.as_deref(), now),
        };
        let renewal = renewal(rules, operation, now);
        let mut alarm = None;
        let judged = judge(&*self.store, shown, renewal, now, &mut alarm).await;
        if let Some(unknown) = alarm {
            self.alarms.raise(&*self.store, unknown, peer, label, now).await;
        }
        let judged = judged?;
        let credentials = credentials.filter(|_| demand != ByCertificate);
        if let (Both | ByCertificate, Judged::NotYet(rejection)) = (demand, &judged) {
            return Err(Unauthenticated::NotYetValid(rejection.clone()));
        }
        if let (Both | ByCertificate, Judged::Nothing | Judged::Bad(_)) = (demand, &judged) {
            return Err(Unauthenticated::CertificateNeeded(judged.rejection()));
        }
        let scheme = credentials.map(Credentials::scheme);
        let account = match credentials {
            Some(credentials) => {
                let origin = Origin::of(peer.address.ip());
                Some(self.check(rules, label, origin, credentials, now, facts).await?)
            }
            None => None,
        };
        match (judged, account) {
            (Judged::Accepted(presented, expired), Some(account)) => Ok(Identity {
                actor: Actor {
                    name: format!("{} [{}]", presented.certificate.subject(), account.name),
                    method: Method::CertificateAndPassword(presented.class),
                },
                presented: Some(*presented),
                scheme,
                expired,
            }),
            (Judged::Accepted(presented, expired), None)
                if matches!(demand, ByCertificate | Either) =>
            {
                Ok(Identity {
                    actor: Actor {
                        name: presented.certificate.subject().to_string(),
                        method: Method::Certificate(presented.class),
                    },
                    presented: Some(*presented),
                    scheme: None,
                    expired,
                })
            }
            (_, Some(account)) => Ok(Identity {
                actor: Actor { name: account.name, method: Method::Password },
                presented: None,
                scheme,
                expired: None,
            }),
            (Judged::NotYet(rejection), None) => Err(Unauthenticated::NotYetValid(rejection)),
            (judged, None) => Err(Unauthenticated::Challenge(match demand {
                Either => judged.rejection(),
                _ => no_password(),
            })),
        }
    }
}

/// What a certificate may do for this operation beside what every valid one of ours may.
fn renewal(rules: &policy::Policy, operation: Operation, now: Time) -> Renewal<'_> {
    let renews = matches!(operation, Operation::SimpleEnroll | Operation::SimpleReenroll);
    let unknown_of = match rules.unknown_certificates {
        UnknownCertificates::RenewOwnNames { until } if renews && now < until => Some(&rules.ca),
        UnknownCertificates::RenewOwnNames { .. } | UnknownCertificates::Reject => None,
    };
    let grace = match operation {
        Operation::SimpleReenroll => rules.expired_grace,
        _ => Duration::ZERO,
    };
    Renewal { grace, unknown_of }
}

#[cfg(test)]
mod tests;
