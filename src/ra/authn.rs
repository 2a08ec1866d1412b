//! Who asks: TLS client certificate, HTTP Basic or Digest, or both (RFC 7030 §3.2.3, §3.3.2).

use super::{
    failures::Failures,
    nonces::{NoKey, Nonces},
    password,
};
use crate::{
    digest::{Algorithm, Answer, Challenge, Secret},
    entropy::{Entropy, NoEntropy},
    pki::Certificate,
    policy::{self, Authentication, Passwords, Scheme},
    store::{self, Account, Issuance, Password, ProofKeys, Store},
    types::{Actor, Fault, Label, Method, Origin, Peer, Time, TrustClass, Verdict},
};
use std::{sync::Arc, time::Duration};
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
    /// The trusted certificate that it showed, and which database trusts it.
    pub certificate: Option<(Certificate, TrustClass)>,
    /// The record of that certificate, if this server issued it and an explicit anchor vouches for
    /// it. It was not revoked.
    pub record: Option<Arc<Issuance>>,
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
    Challenge(Fault),
    /// The password is right, and the nonce that it was proved for is not ours, too old, or used:
    /// 401 with a new one (RFC 7616 §3.3).
    #[error("{0}")]
    Stale(Fault),
    /// Too many passwords were wrong: 429.
    #[error("{fault}")]
    TooManyFailures {
        /// What is limited.
        fault: Fault,
        /// When to try again.
        seconds: u32,
    },
    /// Only a certificate could help, and none or a bad one was shown: 403 (D-24).
    #[error("{0}")]
    CertificateNeeded(Fault),
    /// The accounts cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The certificate that would do becomes valid later: this server's clock is wrong, or was
    /// when it was issued.
    #[error("{0}")]
    NotYetValid(Fault),
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
    failures: Failures,
    /// Each check takes 19 MiB and a core for tens of milliseconds: as many as there are cores, up to
    /// [`MOST_CHECKS`].
    checks: Arc<Semaphore>,
    /// Those that may wait for a core; more are turned away.
    waiting: Arc<Semaphore>,
    /// What the checks work in: as many as there are checks at once.
    memories: Arc<password::Memories>,
}

/// The certificate's part of an authentication.
enum Shown {
    Nothing,
    Trusted(Box<Certificate>, TrustClass, Option<Arc<Issuance>>),
    /// Trusted until it expired, at this moment.
    Expired(Box<Certificate>),
    NotYet(Fault),
    Bad(Fault),
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
            failures: Failures::new(rules),
            checks: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(at_once * 32)),
            memories: Arc::new(password::Memories::new(at_once)),
        }
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
    /// were kept (`estd user add --identity-proof`). A proof that does not hold is to be told to
    /// [`Self::proof_failed`]: it counts as a wrong password.
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
            return Err(Unauthenticated::TooManyFailures { fault: too_many(), seconds });
        }
        let account = self.store.account(user).await?;
        let account = account.filter(|account| may_use(account, rules, label));
        Ok(account.and_then(|account| match account.password {
            Password::Recomputable(kept) => kept.identity_proof,
            Password::Hash(_) => None,
        }))
    }

    /// Counts a proof by a shared secret that did not hold.
    pub fn proof_failed(&self, user: &str, origin: Origin, now: Time) {
        self.failures.add(origin, user, now);
    }

    async fn nonces(&self) -> Result<&Nonces, Unauthenticated> {
        let open = || Nonces::open(&*self.store, &*self.entropy, self.nonce_lifetime, self.started);
        self.nonces.get_or_try_init(open).await.map_err(|fault| match fault {
            NoKey::Store(fault) => Unauthenticated::Store(fault),
            NoKey::Entropy(fault) => Unauthenticated::Entropy(fault),
        })
    }

    /// Finds out who asks, by what `rules` accept. A password that is sent has to be right, also
    /// where a certificate would do. A certificate that this server issued may have expired, but not
    /// longer than `grace` ago: zero but for its renewal.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn authenticate(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        peer: &Peer,
        credentials: Option<&Credentials>,
        grace: Duration,
        now: Time,
    ) -> Result<Identity, Unauthenticated> {
        use Authentication::{Both, Certificate as ByCertificate, Either, Password};
        let demand = rules.authentication;
        let shown = if demand == Password { Shown::Nothing } else { shown(peer, now) };
        let (shown, expired) = self.look_up(shown, grace, now).await?;
        let credentials = credentials.filter(|_| demand != ByCertificate);
        if let (Both | ByCertificate, Shown::NotYet(fault)) = (demand, &shown) {
            return Err(Unauthenticated::NotYetValid(fault.clone()));
        }
        if let (Both, Shown::Nothing | Shown::Bad(_))
        | (ByCertificate, Shown::Nothing | Shown::Bad(_)) = (demand, &shown)
        {
            return Err(Unauthenticated::CertificateNeeded(shown.fault()));
        }
        let scheme = credentials.map(Credentials::scheme);
        let account = match credentials {
            Some(credentials) => {
                let origin = Origin::of(peer.address.ip());
                Some(self.check(rules, label, origin, credentials, now).await?)
            }
            None => None,
        };
        match (shown, account) {
            (Shown::Trusted(certificate, class, record), Some(account)) => Ok(Identity {
                actor: Actor {
                    name: format!("{} [{}]", certificate.subject(), account.name),
                    method: Method::CertificateAndPassword(class),
                },
                certificate: Some((*certificate, class)),
                record,
                scheme,
                expired,
            }),
            (Shown::Trusted(certificate, class, record), None)
                if matches!(demand, ByCertificate | Either) =>
            {
                Ok(Identity {
                    actor: Actor {
                        name: certificate.subject().to_string(),
                        method: Method::Certificate(class),
                    },
                    certificate: Some((*certificate, class)),
                    record,
                    scheme: None,
                    expired,
                })
            }
            (_, Some(account)) => Ok(Identity {
                actor: Actor { name: account.name, method: Method::Password },
                certificate: None,
                record: None,
                scheme,
                expired: None,
            }),
            (Shown::NotYet(fault), None) => Err(Unauthenticated::NotYetValid(fault)),
            (shown, None) => Err(Unauthenticated::Challenge(match demand {
                Either => shown.fault(),
                _ => no_password(),
            })),
        }
    }

    /// Finds the record of a certificate that may be one of this server's. One that was revoked
    /// proves nothing (R-7030-3.3.2-c), whoever asks and for what.
    ///
    /// One that has expired is gone, unless it is ours, and that is not longer ago than `grace`.
    async fn look_up(
        &self,
        shown: Shown,
        grace: Duration,
        now: Time,
    ) -> Result<(Shown, Option<Time>), Unauthenticated> {
        let (certificate, class, expired) = match shown {
            Shown::Trusted(certificate, class, _) => (certificate, class, None),
            Shown::Expired(certificate) => {
                let moment = certificate.not_after();
                if now > moment.plus(grace) {
                    return Ok((expired_at(moment), None));
                }
                (certificate, TrustClass::Explicit, Some(moment))
            }
            other => return Ok((other, None)),
        };
        let record = self.store.find(certificate.serial()).await?;
        let record = record.filter(|record| record.certificate == certificate.der());
        if let Some(revocation) = record.as_ref().and_then(|record| record.revocation) {
            let seen = format!("one that was revoked at {}: {}", revocation.at, revocation.reason);
            return Ok((bad(&seen), None));
        }
        if let (Some(moment), None) = (expired, &record) {
            return Ok((expired_at(moment), None));
        }
        // What only a third party's anchor vouches for has no rights as one of ours.
        let record = record.filter(|_| class == TrustClass::Explicit);
        Ok((Shown::Trusted(certificate, class, record), expired))
    }

    async fn check(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        origin: Origin,
        credentials: &Credentials,
        now: Time,
    ) -> Result<Account, Unauthenticated> {
        let scheme = credentials.scheme();
        if !rules.schemes.contains(&scheme) {
            return Err(Unauthenticated::Challenge(other_scheme(rules, scheme)));
        }
        let user = credentials.user();
        if let Some(seconds) = self.failures.wait(origin, user, now) {
            return Err(Unauthenticated::TooManyFailures { fault: too_many(), seconds });
        }
        let account = match credentials {
            Credentials::Basic { user, password } => self.check_basic(user, password).await?,
            Credentials::Digest { answer, method } => {
                if answer.realm != self.realm {
                    // Nothing that could be right was tried.
                    return Err(Unauthenticated::Challenge(self.other_realm(&answer.realm)));
                }
                self.check_digest(answer, method).await?
            }
        };
        if rules.makes_ra
            && let Some(unbound) = account.as_ref().filter(|account| account.labels.is_none())
        {
            tracing::warn!(
                "account {:?} is bound to no label: a label that makes registration authorities takes accounts only that are bound to it (estd user add NAME --label {})",
                unbound.name,
                label.map_or("", Label::as_str)
            );
        }
        // Not told apart from a wrong password: what an account may do is not for guessers.
        let Some(account) = account.filter(|account| may_use(account, rules, label)) else {
            self.failures.add(origin, user, now);
            return Err(Unauthenticated::Challenge(wrong()));
        };
        if let Credentials::Digest { answer, .. } = credentials
            && !self.nonces().await?.take(&answer.nonce, answer.count, now)
        {
            return Err(Unauthenticated::Stale(stale(answer.count)));
        }
        Ok(account)
    }

    /// The account whose password this is.
    async fn check_basic(
        &self,
        user: &str,
        password: &Zeroizing<String>,
    ) -> Result<Option<Account>, Unauthenticated> {
        if password.is_empty() || password.len() > password::MAX_PASSWORD {
            return Ok(None);
        }
        let _place = self.waiting.try_acquire().map_err(|_| Unauthenticated::Busy)?;
        let account = self.store.account(user).await?;
        let core = Arc::clone(&self.checks);
        let core = core.acquire_owned().await.map_err(|_| Unauthenticated::Busy)?;
        let given = password.clone();
        let kept = account.as_ref().map(|account| account.password.clone());
        let user = user.to_owned();
        let memories = Arc::clone(&self.memories);
        let check = move || {
            let mut memory = memories.take();
            let right = match &kept {
                Some(Password::Hash(hash)) => memory.verify(&given, Some(hash)),
                // The time of a hash, too: what kind of account it is is not for guessers.
                Some(Password::Recomputable(kept)) => {
                    let _ = memory.verify(&given, None);
                    let made = Secret::new(Algorithm::Sha256, &user, &kept.realm, &given);
                    made.is(&kept.sha256)
                }
                None => memory.verify(&given, None),
            };
            memories.put(memory);
            // Held to the end also if the client hangs up, or there would be more than cores.
            drop(core);
            right
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        Ok(account.filter(|_| right))
    }

    /// The account whose password this was made with.
    async fn check_digest(
        &self,
        answer: &Answer,
        method: &str,
    ) -> Result<Option<Account>, Unauthenticated> {
        let account = self.store.account(&answer.user).await?;
        let secret = account.as_ref().and_then(|account| match &account.password {
            Password::Recomputable(kept) if kept.realm == self.realm => match answer.algorithm {
                Algorithm::Sha256 => Some(kept.sha256.clone()),
                Algorithm::Md5 => kept.md5.clone(),
            },
            Password::Recomputable(kept) => {
                tracing::warn!(
                    "account {:?} was made for the realm {:?}, and this server's is {:?}: it cannot be used with Digest",
                    account.name,
                    kept.realm,
                    self.realm
                );
                None
            }
            Password::Hash(_) => None,
        });
        // The same work for an account that does not exist: its secret is nobody's.
        let nobody = || Secret::new(answer.algorithm, "", "", "");
        let known = secret.is_some();
        let right = answer.matches(&secret.unwrap_or_else(nobody), method);
        Ok(account.filter(|_| right && known))
    }

    fn other_realm(&self, seen: &str) -> Fault {
        Fault::new(
            "auth.realm",
            "the password is for the realm of the challenge (RFC 7616 section 3.4)",
            seen,
            self.realm.clone(),
        )
    }
}

/// Whether the account may enrol under the label.
///
/// One that is bound to no label may enrol under all but those that make registration authorities:
/// it is the account of a fleet, and each of its devices knows the password.
fn may_use(account: &Account, rules: &policy::Policy, label: Option<&Label>) -> bool {
    match &account.labels {
        Some(labels) => label.is_some_and(|label| labels.contains(label)),
        None => !rules.makes_ra,
    }
}

fn wrong() -> Fault {
    Fault::new(
        "auth.password",
        "user name and password are those of an enrolment account",
        "others",
        "an account of this server (operator: estd user list)",
    )
}

fn other_scheme(rules: &policy::Policy, scheme: Scheme) -> Fault {
    let wanted: Vec<String> = rules.schemes.iter().map(ToString::to_string).collect();
    Fault::new(
        "auth.scheme",
        "the password is proved by a scheme that is offered here (RFC 7030 section 3.2.3)",
        scheme,
        wanted.join(" or "),
    )
}

fn too_many() -> Fault {
    Fault::new(
        "auth.failures",
        "an account, and an address, may fail so often in a while",
        "too many wrong passwords of late",
        "the right one after the time in Retry-After",
    )
}

fn stale(count: u32) -> Fault {
    Fault::new(
        "auth.nonce",
        "a nonce is answered in time, and each count of it once (RFC 7616 section 3.4)",
        format!("one that is not ours or too old, or the count {count:08x} again"),
        "an answer to the challenge that comes with this",
    )
}

impl Shown {
    fn fault(self) -> Fault {
        match self {
            Self::Bad(fault) | Self::NotYet(fault) => fault,
            Self::Nothing | Self::Trusted(..) | Self::Expired(_) => Fault::new(
                "auth.none",
                "a client shows who it is before it enrols (RFC 7030 section 4.2)",
                "neither a client certificate nor a password that is accepted here",
                "a TLS client certificate that this server trusts, or a password where it is accepted",
            ),
        }
    }
}

fn no_password() -> Fault {
    Fault::new(
        "auth.no-password",
        "a password is required here (RFC 7030 section 3.2.3)",
        "no HTTP Basic or Digest credentials",
        "an enrolment account by a scheme of the challenge",
    )
}

fn not_yet(moment: Time, now: Time) -> Shown {
    Shown::NotYet(Fault::new(
        "auth.not-yet-valid",
        "the client certificate is valid now (RFC 5280 section 4.1.2.5)",
        format!("one that is valid from {moment} only, and it is {now} on this server's clock"),
        "the same certificate later, when the clock is right; or a password",
    ))
}

fn bad(seen: &str) -> Shown {
    Shown::Bad(Fault::new(
        "auth.certificate",
        "the client certificate leads to a trust anchor of this server and is valid now (RFC 7030 section 3.3.2)",
        seen,
        "a valid certificate of this server's CA or of another one that it trusts",
    ))
}

fn expired_at(moment: Time) -> Shown {
    bad(&format!("one that expired at {moment}"))
}

fn shown(peer: &Peer, now: Time) -> Shown {
    let Some(shown) = &peer.certificate else { return Shown::Nothing };
    let class = match &shown.verdict {
        Verdict::Trusted { class, .. } => Some(*class),
        Verdict::Expired { .. } => None,
        Verdict::NotYet(moment) => return not_yet(*moment, now),
        Verdict::Untrusted(reason) => return bad(reason),
    };
    match Certificate::parse(&shown.der) {
        // A connection may outlive the certificate that opened it.
        Ok(certificate) if now > certificate.not_after() => match class {
            Some(TrustClass::Implicit) => expired_at(certificate.not_after()),
            Some(TrustClass::Explicit) | None => Shown::Expired(Box::new(certificate)),
        },
        // Nor does the clock go forward only.
        Ok(certificate) if now < certificate.not_before() => not_yet(certificate.not_before(), now),
        Ok(certificate) => match class {
            Some(class) => Shown::Trusted(Box::new(certificate), class, None),
            // What has expired is an intermediate certificate, or the clock was set back: then a
            // new connection finds it valid.
            None => bad("one whose chain has expired"),
        },
        Err(fault) => bad(&fault.fault().seen),
    }
}
